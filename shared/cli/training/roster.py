"""Rosters of a training.

CSV as Excel and Microsoft Entra write it, or a line per address. Columns are recognized by their header. An entry
needs an object id or an address, because nobody is recognized by name. Two lines that share one of these are one
person. Nothing here reads a file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...errors import AttendanceError
from ...privacy.identifiers import id_token
from ...settings import GUID
from .sessions import Expected

MAX_BYTES = 20 * 1024 * 1024
MAX_SHOWN = 5  # faulty lines in one error
OBJECT_ID, ADDRESS, NAME, PLAIN_ID = "object id", "address", "name", "id"
# Headers without spaces, punctuation and letter case.
_HEADERS = {
    **dict.fromkeys(("objectid", "userid", "userobjectid", "aadobjectid", "entraobjectid"), OBJECT_ID),
    **dict.fromkeys(("azureadobjectid", "personkey", "objectguid"), OBJECT_ID),
    **dict.fromkeys(("address", "email", "emailaddress", "mail", "primarysmtpaddress", "smtp"), ADDRESS),
    **dict.fromkeys(("upn", "userprincipalname", "principalname", "signinname", "loginname"), ADDRESS),
    **dict.fromkeys(("name", "displayname", "fullname"), NAME),
    "id": PLAIN_ID,
}
_SEPARATORS = ",;\t"
_ADDRESS = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\Z")
_NAMED = re.compile(r"\"?([^<>\"]*?)\"?\s*<([^<>]+)>\Z")  # Frida Lindström <frida@contoso.example>
_NO_LETTERS = re.compile(r"[\W_]")


class RosterError(AttendanceError):
    """A roster that cannot be used; the text names line and cause."""


@dataclass(frozen=True)
class Roster:
    """People who should attend, in the order of the file.

    And sentences about what was done to it.
    """

    people: tuple[Expected, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A person and the number of the line that names the person first."""

    line: int
    person: Expected


def parse_roster(content: bytes, name: str) -> Roster:
    """Parse a roster; `name` is the file's, for errors. Raises RosterError."""
    text, notes = _decode(content, name)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise RosterError(f"The roster {name} is empty.")
    problems: list[str] = []
    entries = list(_plain(lines, problems) if _is_plain(lines) else _table(text, name, problems))
    people = _merge(entries, problems, notes)
    if problems:
        more = len(problems) - MAX_SHOWN
        rest = [f"and {more:,} more lines are faulty"] if more > 0 else []
        raise RosterError(f"The roster {name} cannot be used: {'; '.join(problems[:MAX_SHOWN] + rest)}.")
    if not people:
        raise RosterError(f"The roster {name} names nobody.")
    return Roster(tuple(people), tuple(notes))


def _decode(content: bytes, name: str) -> tuple[str, list[str]]:
    """Return the text, without a byte order mark, and what is to be said about it."""
    if content.startswith(b"PK"):
        raise RosterError(f"The roster {name} is a workbook: save it as CSV UTF-8.")
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16"), []
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every byte has a meaning in Latin-1; Windows-1252 differs in signs that names do not have.
        return content.decode("cp1252", "replace"), [
            f"The roster {name} is not UTF-8: it was read as Windows-1252."
        ]
    if "\0" in text:
        raise RosterError(f"The roster {name} is not a text.")
    return text, []


def _is_plain(lines: Sequence[tuple[int, str]]) -> bool:
    """Whether a roster has a line per address or object id, without a header."""
    first = next((line.strip() for _, line in lines if not line.startswith("#")), "")
    return _identifier(first) is not None


def _identifier(text: str) -> Expected | None:
    """Parse an address, also behind a name, or an object id."""
    if GUID.match(text):
        return Expected(text.lower(), ())
    named = _NAMED.match(text)
    address = (named[2] if named else text).strip()
    if not _ADDRESS.match(address):
        return None
    return Expected(None, (address.lower(),), named[1].strip() if named else "")


def _plain(lines: Sequence[tuple[int, str]], problems: list[str]) -> Iterator[_Entry]:
    for number, line in lines:
        text = line.strip().rstrip(",;").strip()
        if text.startswith("#"):
            continue
        if person := _identifier(text):
            yield _Entry(number, person)
        else:
            problems.append(f"line {number} is neither an address nor an object id")


def _table(text: str, name: str, problems: list[str]) -> Iterator[_Entry]:
    """Yield the people of a table with a header."""
    separator, rows = _read_rows(text, name)
    header_line, header = next(rows, (1, []))
    kinds = [_HEADERS.get(_NO_LETTERS.sub("", each).lower(), "") for each in header]
    table = [(number, cells) for number, cells in rows if any(each.strip() for each in cells)]
    if PLAIN_ID in kinds:  # of a directory, or a number of one's own
        column = kinds.index(PLAIN_ID)
        values = [cells[column].strip() for _, cells in table if len(cells) > column]
        is_object_id = OBJECT_ID not in kinds and all(GUID.match(each) for each in values if each)
        kinds[column] = OBJECT_ID if is_object_id and any(values) else ""
    if not {OBJECT_ID, ADDRESS} & set(kinds):
        shown = ", ".join(each.strip() or "(no name)" for each in header) or "nothing"
        raise RosterError(
            f"The roster {name} has no column with addresses or object ids: line {header_line} must name one, such as "
            f"email, upn or object id, and names {shown} (separated by {_name_separator(separator)})."
        )
    for number, cells in table:
        if len(cells) > len(header):
            problems.append(f"line {number} has {len(cells)} fields, but the header has {len(header)}")
            continue
        try:
            yield _Entry(number, _person(kinds, header, cells))
        except ValueError as problem:
            problems.append(f"line {number} {problem}")


def _read_rows(text: str, name: str) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """Return the separator and the rows that are not empty.

    They have their line numbers; the header is first.
    """
    skipped = 0
    first, _, rest = text.partition("\n")
    declared = re.match(r"sep=(.)\s*\Z", first)  # as Excel reads and writes it
    if declared:
        text, skipped = rest, 1
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = declared[1] if declared else max(_SEPARATORS, key=header.count)

    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        line = skipped + 1
        try:
            for cells in reader:
                if any(each.strip() for each in cells):
                    yield line, cells
                line = skipped + reader.line_num + 1
        except csv.Error as failure:
            raise RosterError(f"The roster {name} cannot be used: line {line}: {failure}.") from None

    return separator, rows()


def _name_separator(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, repr(separator))


def _person(kinds: Sequence[str], header: Sequence[str], cells: Sequence[str]) -> Expected:
    """Return the person of a row. Raises ValueError, which completes `line N …`."""
    object_id, addresses, name, more = None, list[str](), "", dict[str, str]()
    for kind, title, cell in zip(kinds, header, cells, strict=False):
        value = cell.strip()
        if kind == OBJECT_ID and value:
            if not GUID.match(value):
                raise ValueError(f"has {value!r} as {title.strip()}, which is not an object id")
            object_id = value.lower()
        elif kind == ADDRESS and value:
            if not _ADDRESS.match(value):
                raise ValueError(f"has {value!r} as {title.strip()}, which is not an address")
            addresses.append(value.lower())
        elif kind == NAME:
            name = name or value
        elif not kind and title.strip():
            more[title.strip()] = value
    if not object_id and not addresses:
        raise ValueError("has neither an address nor an object id")
    return Expected(object_id, tuple(dict.fromkeys(addresses)), name, more)


def _merge(entries: Sequence[_Entry], problems: list[str], notes: list[str]) -> list[Expected]:
    """Merge the lines that share an object id or an address."""
    people: list[_Entry] = []
    owners: dict[str, int] = {}
    repeated = 0
    for entry in entries:
        person = entry.person
        tokens = [id_token(each) for each in (person.object_id, *person.addresses) if each]
        same = sorted({owners[token] for token in tokens if token in owners})
        if len(same) > 1:
            lines = " and ".join(str(people[each].line) for each in same)
            problems.append(f"line {entry.line} has identifiers of two people, in lines {lines}")
            continue
        if not same:
            same = [len(people)]
            people.append(entry)
        else:
            before = people[same[0]]
            if None is not before.person.object_id != person.object_id is not None:
                problems.append(
                    f"line {entry.line} has the address of line {before.line} with another object id"
                )
                continue
            people[same[0]] = replace(before, person=_merge_two(before.person, person))
            repeated += 1
        owners |= dict.fromkeys(tokens, same[0])
    if repeated:
        notes.append(
            f"{repeated:,} lines of the roster name somebody whom an earlier line names: they were merged."
        )
    return [each.person for each in people]


def _merge_two(first: Expected, second: Expected) -> Expected:
    """One person of two lines; where both say something, the first counts."""
    return Expected(
        first.object_id or second.object_id,
        tuple(dict.fromkeys((*first.addresses, *second.addresses))),
        first.name or second.name,
        {**second.more, **{title: value for title, value in first.more.items() if value}},
    )
