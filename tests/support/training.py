"""A fire safety training on two dates, the second of them restarted: in documents and tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.cli.training import attendance, matching, policy, sentences
from shared.cli.training.policy import Policy
from shared.cli.training.results import Account, ExpectedFrom
from shared.cli.training.roster import parse_roster
from shared.cli.training.sessions import Presence, TrainingSession

NINE = datetime(2026, 11, 16, 9, tzinfo=UTC)
WEEK = 7 * 24 * 60
PEOPLE = {
    "Ana López": "10000000-0000-4000-8000-000000000000",
    "Ben Rowe": "20000000-0000-4000-8000-000000000000",
    "Chidi Okafor": "30000000-0000-4000-8000-000000000000",
    "Dana Wright": "40000000-0000-4000-8000-000000000000",
    "Tim Trainer": "50000000-0000-4000-8000-000000000000",
}
ROSTER = """\
Name;E-Mail;Department
Ana López;ana@contoso.example;Sales
Ben Rowe;ben@contoso.example;Sales
Chidi Okafor;chidi@contoso.example;IT
Dana Wright;dana@contoso.example;IT
Hugo Lind;h.lind@contoso.example;IT
"""
POLICY = Policy(
    policy.parse_threshold("80%"),
    late_after=timedelta(minutes=5),
    left_early=timedelta(minutes=5),
)


def account(dates: int = 2, policy: Policy = POLICY, subject: str = "Fire safety") -> Account:
    """The result of the last one or of both dates."""
    roster = parse_roster(ROSTER.encode(), "team.csv")
    sessions = [
        _session(0, 60, _person("Tim Trainer", -5, 62), _person("Ana López", 0, 60), _person("Ben Rowe", 1, 55),
                 _person("Chidi Okafor", 12, 60), _person("Dana Wright", 2, 31)),
        _session(WEEK, WEEK + 20, _person("Tim Trainer", WEEK - 5, WEEK + 20), _person("Ana López", WEEK, WEEK + 20),
                 _person("Ben Rowe", WEEK + 8, WEEK + 20)),
        _session(WEEK + 25, WEEK + 60, _person("Tim Trainer", WEEK + 25, WEEK + 60),
                 _person("Ana López", WEEK + 25, WEEK + 60), _person("Ben Rowe", WEEK + 25, WEEK + 60),
                 _person("Dana Wright", WEEK + 26, WEEK + 50),
                 _person("Hugo Lind", WEEK + 25, WEEK + 60, is_known=False)),
    ]  # fmt: skip
    occasions = attendance.find_occasions(sessions, policy)[-dates:]
    training = matching.evaluate(occasions, policy, roster.people)
    notes = sentences.describe_notes(
        training, open_days=[occasions[-1].day], unreported={}, invited=None, more=roster.notes
    )
    return Account(training, subject, ExpectedFrom.ROSTER, notes, frozenset({occasions[-1].day}))


def _at(minute: int) -> datetime:
    return NINE + timedelta(minutes=minute)


def _person(name: str, join: int, leave: int, *, is_known: bool = True) -> Presence:
    address = f"{name.split()[0].lower()}@contoso.example"
    role = "Organizer" if name == "Tim Trainer" else "Attendee"
    return Presence(
        PEOPLE[name] if is_known else None,
        address if is_known else None,
        name,
        role,
        "communicationsUserIdentity" if is_known else "communicationsGuestIdentity",
        ((_at(join), _at(leave)),),
    )


def _session(start: int, end: int, *records: Presence) -> TrainingSession:
    day = _at(start).date()
    schedule = _at(start // WEEK * WEEK), _at(start // WEEK * WEEK + 60)
    return TrainingSession(
        f"r{start}", day, _at(start), _at(end), schedule, "Fire safety", False, False, records
    )
