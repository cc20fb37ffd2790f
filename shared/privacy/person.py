"""A person as an operator names them, which stays on the operator's machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from .identifiers import fold, id_token, name_token


@dataclass(frozen=True)
class Person:
    """A person's ids, addresses and numbers, and display names on request."""

    identifiers: frozenset[str]
    names: frozenset[str] = frozenset()

    @cached_property
    def tokens(self) -> frozenset[str]:
        """The tokens by which the person is found."""
        return frozenset([*map(id_token, self.identifiers), *map(name_token, self.names)])

    def is_quoted_in(self, text: str) -> bool:
        """Whether a text holds an identifier or a name somewhere, as a word of its own."""
        return bool(self._words.search(fold(text, " ")))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        texts = sorted(token.partition(":")[2] for token in self.tokens)
        return re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in texts))
