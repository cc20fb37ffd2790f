"""Rosters as Excel, Microsoft Entra and people write them, and those that cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli.training.roster import RosterError, parse_roster
from shared.cli.training.sessions import Expected

ANA, BEN = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "ab")


def people(content: str | bytes) -> list[Expected]:
    return list(parse_roster(content if isinstance(content, bytes) else content.encode(), "team.csv").people)


def problem(content: str | bytes) -> str:
    with pytest.raises(RosterError) as refused:
        people(content)
    return str(refused.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_of_excel_is_read_in_each_of_its_forms(separator: str, end: str, encoding: str) -> None:
    rows = [
        ["Name", "E-Mail", "Object ID", "Department"],
        ["Ana López", "Ana@Contoso.Example", ANA.upper(), "Sales"],
        ["Ben", "ben@contoso.example", "", ""],
        ["", "", "", ""],
    ]
    text = end.join(separator.join(row) for row in rows) + end
    assert people(text.encode(encoding)) == [
        Expected(ANA, ("ana@contoso.example",), "Ana López", {"Department": "Sales"}),
        Expected(None, ("ben@contoso.example",), "Ben", {"Department": ""}),
    ]


def test_quoted_fields_and_a_declared_separator_are_those_of_excel() -> None:
    text = 'sep=;\r\n"Display name";mail;Cost centre\r\n"López; Ana";ana@contoso.example;"12\r\n34"\r\n'
    assert people(text) == [
        Expected(None, ("ana@contoso.example",), "López; Ana", {"Cost centre": "12\r\n34"})
    ]


def test_a_list_of_users_of_entra_has_both_addresses_and_the_object_id() -> None:
    text = f"userPrincipalName,displayName,mail,id\nana@contoso.example,Ana,a.lopez@contoso.example,{ANA}\n"
    assert people(text) == [Expected(ANA, ("ana@contoso.example", "a.lopez@contoso.example"), "Ana")]


def test_an_id_that_is_no_object_id_is_carried_along() -> None:
    assert people("id,email\n4711,ana@contoso.example\n") == [
        Expected(None, ("ana@contoso.example",), "", {"id": "4711"})
    ]


def test_a_line_per_address_or_object_id_needs_no_header() -> None:
    text = f"# the team\nana@contoso.example\n\nBen Ro <Ben@Contoso.example>;\n{BEN.upper()}\n"
    assert people(text) == [
        Expected(None, ("ana@contoso.example",)),
        Expected(None, ("ben@contoso.example",), "Ben Ro"),
        Expected(BEN, ()),
    ]


def test_lines_of_one_person_are_merged_and_that_is_said() -> None:
    text = (
        "name,upn,email,object id,team\n"
        f"Ana,ana@contoso.example,,{ANA},\n"
        "A. López,,a.lopez@contoso.example,,Blue\n"
        f",,A.LOPEZ@contoso.example,,Red\nx,ana@contoso.example,,{ANA},Green\n"
    )
    roster = parse_roster(text.encode(), "team.csv")
    assert roster.people == (
        Expected(ANA, ("ana@contoso.example",), "Ana", {"team": "Green"}),
        Expected(None, ("a.lopez@contoso.example",), "A. López", {"team": "Blue"}),
    )
    assert roster.notes == (
        "2 lines of the roster name somebody whom an earlier line names: they were merged.",
    )


def test_another_encoding_than_utf_8_is_read_and_said() -> None:
    roster = parse_roster("name;email\nJosé;jose@contoso.example\n".encode("cp1252"), "team.csv")
    assert roster.people[0].name == "José"
    assert roster.notes == ("The roster team.csv is not UTF-8: it was read as Windows-1252.",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "The roster team.csv is empty."),
        ("\n \n", "The roster team.csv is empty."),
        ("email\n", "The roster team.csv names nobody."),
        (b"PK\x03\x04", "The roster team.csv is a workbook: save it as CSV UTF-8."),
        (b"email\n\0\0\n", "The roster team.csv is not a text."),
        (
            "name;phone\nAna;1\n",
            ("The roster team.csv has no column with addresses or object ids: line 1 must name one, such as email, "
            "upn or object id, and names name, phone (separated by semicolons)."),
        ),
        (
            "email\nana@contoso.example\nben\n",
            "The roster team.csv cannot be used: line 3 has 'ben' as email, which is not an address.",
        ),
        (
            "name,email\nAna,\n",
            "The roster team.csv cannot be used: line 2 has neither an address nor an object id.",
        ),
        (
            "object id\n4711\n",
            "The roster team.csv cannot be used: line 2 has '4711' as object id, which is not an object id.",
        ),
        (
            "name,email\nLópez, Ana,ana@contoso.example\n",
            "The roster team.csv cannot be used: line 2 has 3 fields, but the header has 2.",
        ),
        (
            "ana@contoso.example\nben at contoso\n",
            "The roster team.csv cannot be used: line 2 is neither an address nor an object id.",
        ),
        (
            f"email,object id\na@x.example,{ANA}\na@x.example,{BEN}\n",
            "The roster team.csv cannot be used: line 3 has the address of line 2 with another object id.",
        ),
        (
            "upn,mail\na@x.example,\nb@x.example,\na@x.example,b@x.example\n",
            "The roster team.csv cannot be used: line 4 has identifiers of two people, in lines 2 and 3.",
        ),
        (
            'name,email\n"Ana,ana@contoso.example\n',
            "The roster team.csv cannot be used: line 2: unexpected end of data.",
        ),
        (
            "email\n" + "x\n" * 7,
            "The roster team.csv cannot be used: "
            + "; ".join(f"line {n} has 'x' as email, which is not an address" for n in range(2, 7))
            + "; and 2 more lines are faulty.",
        ),
    ],
)  # fmt: skip
def test_a_roster_that_cannot_be_used_is_refused_with_line_and_cause(
    content: str | bytes, sentence: str
) -> None:
    assert problem(content) == sentence


def test_line_numbers_are_those_of_the_file() -> None:
    text = 'sep=,\nname,email\n\n"two\nlines",ana@contoso.example\nBen,ben\n'
    assert "line 6 has 'ben' as email" in problem(text)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_a_roster_or_is_refused(content: bytes) -> None:
    try:
        roster = parse_roster(content, "x")
    except RosterError as refused:
        assert str(refused).startswith("The roster x ")  # noqa: PT017
    else:
        assert all(each.object_id or each.addresses for each in roster.people)
