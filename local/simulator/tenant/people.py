"""People of the simulated tenants: ids, realistic names, addresses.

Everything follows from the seed. The names hold what breaks careless code: combining marks, right-to-left script,
emoji, apostrophes, zero-width joiners.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random

FIRST_NAMES = (
    "Adele", "Zoë", "Jose\u0301", "Ánh", "محمد", "שירה", "太郎", "Siobhán", "Ayşe", "Олена", "Priya", "Łukasz",
    "Grace", "Kim 😀", "Mary\u200d-Jane", "अनिल",
)  # fmt: skip
LAST_NAMES = (
    "Vance", "O'Brien", "García Márquez", "Nguyễn", "العلي", "כהן", "山田", "Müller-Lüdenscheidt", "Öztürk",
    "Шевченко", "Patel", "Wiśniewska", "Hopper", "👩🏽\u200d🚀", "van der Berg", "शर्मा",
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A user of the tenant."""

    id: str
    display_name: str
    address: str


def guid(source: Random) -> str:
    """A random GUID out of `source`."""
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def full_name(source: Random) -> str:
    """A display name."""
    return f"{source.choice(FIRST_NAMES)} {source.choice(LAST_NAMES)}"


def staff(seed: int, count: int = 200) -> dict[str, Person]:
    """The users that a tenant of this seed has from the start, by id."""
    source = Random(f"{seed}:people")
    people = (
        Person(id=guid(source), display_name=full_name(source), address=f"person{number}@contoso.example")
        for number in range(count)
    )
    return {person.id: person for person in people}
