"""Verbatim JSON, and the canonical form behind sha256."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.graph.verbatim_json import Number, canonical, dumps, loads


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


DIGITS = st.integers(0, 10**20).map(str)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("")
    | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 400)),
)
KEYS = st.text() | st.sampled_from(["id", "@odata.type", "a@odata.nextLink", "odata"])
COMPACT = st.recursive(
    NUMBERS | st.text().map(quoted) | st.sampled_from(["true", "false", "null"]),
    lambda inner: (
        st.lists(inner).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(KEYS, inner).map(
            lambda items: "{" + ",".join(f"{quoted(key)}:{item}" for key, item in items.items()) + "}"
        )
    ),
    max_leaves=15,
)


def without_annotations(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_annotations(item) for key, item in value.items() if "@odata." not in key}
    return [without_annotations(item) for item in value] if isinstance(value, list) else value


def documented(text: str) -> bytes:
    """The canonical form as documented, with the standard library alone."""
    content = without_annotations(json.loads(text))
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@given(COMPACT)
@example('{"b":1.0,"a":[1E2,-0,0.10,1e400,{}],"é":"\\u0000\x7f\u2028"}')
def test_compact_json_comes_out_as_it_went_in(text: str) -> None:
    assert dumps(loads(text)) == text.encode()
    assert dumps(loads(text.encode())) == text.encode()


@given(COMPACT)
@example('{"b":1.0,"a":[1E2,-0,0.10,1e400,-1e400,{"@odata.type":"x"}]}')
def test_the_canonical_form_is_what_pythons_json_writes(text: str) -> None:
    assert canonical(loads(text)) == documented(text)


@given(COMPACT)
def test_the_canonical_form_is_the_same_for_the_stored_report(text: str) -> None:
    assert canonical(loads(dumps(loads(text)))) == canonical(loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "1E2",
        "1e2",
        "1e+2",
        "-0",
        "-0.0",
        "0.10",
        "1e400",
        "-1e400",
        "1e-400",
        "12345678901234567890.5",
        "9" * 30,
        "9" * 5000,
        f"0.{'1' * 5000}",
    ],
    ids=lambda text: text[:24],
)
def test_a_number_keeps_its_form(text: str) -> None:
    assert dumps(loads(text)) == text.encode()
    assert dumps(loads(f'{{"a":[{text}]}}')) == f'{{"a":[{text}]}}'.encode()


@pytest.mark.parametrize("text", ["9" * 4_200, f"0.{'1' * 5_000}"], ids=["integer", "fraction"])
def test_a_long_number_is_a_number_in_the_canonical_form_too(text: str) -> None:
    assert canonical(loads(text)) == documented(text)


def test_an_ordinary_number_is_a_python_number_and_only_an_odd_one_is_kept_verbatim() -> None:
    assert loads("[1,1.5,1.0,1E2]") == [1, 1.5, 1.0, Number("1E2")]
    assert [type(item) for item in loads("[1,1.5,1.50,-0]")] == [int, float, Number, Number]


def test_numbers_are_equal_when_their_text_is() -> None:
    assert Number("1E2") == Number("1E2")
    assert Number("1E2") != Number("1e2")
    assert Number("1E2") != 100.0
    assert len({Number("1E2"), Number("1E2")}) == 1
    assert repr(Number("1E2")) == "Number('1E2')"


def test_properties_keep_their_order_and_a_repeated_one_its_last_value() -> None:
    assert dumps(loads('{"b":1,"a":2,"b":3}')) == b'{"b":3,"a":2}'


def test_white_space_goes_and_text_stays() -> None:
    assert dumps(loads(' {\n"a" :\t[ 1.0 , "b  c" ] } ')) == b'{"a":[1.0,"b  c"]}'


def test_text_is_written_as_utf8_and_not_escaped() -> None:
    assert dumps(loads('"\\u00e9 \\ud83d\\ude00"')) == '"é 😀"'.encode()


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    assert loads(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize("text", ['"\\ud800"', '["a\\udfff",1.0]', '{"\\ud800":1E2}'])
def test_a_lone_surrogate_is_written_as_its_escape(text: str) -> None:
    assert dumps(loads(text)) == text.encode()
    assert canonical(loads(text)).isascii()


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}'])
def test_a_number_that_json_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        loads(text)


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "01", "1.", ".5", "+1", "'a'", '"\x01"', "1 2", "nan", "{1:2}", "\ufeff[]"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        loads(text)


@pytest.mark.parametrize("content", [b"\xff", b'"\xc3"', "[]".encode("utf-16")])
def test_bytes_that_are_not_utf8_are_refused(content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        loads(content)


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        loads("[" * 200_000 + "]" * 200_000)


def nested(innermost: str) -> Any:
    """A value that can be parsed but not walked through in Python."""
    return loads("[" * 2_000 + innermost + "]" * 2_000)


def test_a_value_nested_too_deeply_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(nested("1"))


def test_a_value_nested_too_deeply_around_a_verbatim_number_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        dumps(nested("1.00"))


@pytest.mark.parametrize("value", [{1, 2}, [object()], {"a": b"bytes"}, [Number("1E2"), object()]])
def test_what_json_cannot_say_is_a_type_error(value: object) -> None:
    for write in (dumps, canonical):
        with pytest.raises(TypeError, match="is not JSON"):
            write(value)


@given(st.binary())
def test_any_bytes_are_json_or_a_value_error(content: bytes) -> None:
    try:
        value = loads(content)
    except ValueError:
        return
    assert loads(dumps(value)) == value
