"""Blob names: partitions by UTC date, and opaque ids as parts of a name."""

from __future__ import annotations

from datetime import date
from urllib.parse import quote, unquote

_SAFE = "=@:,!$'()*+;&"  # allowed in blob names; letters, digits and -._~ are never encoded
MAX_HEADER = 4_096  # characters of one metadata value; storage takes 8 KB in all


def encode_name_part(identifier: str) -> str:
    """Percent-encode an opaque id for use in a blob name."""
    return quote(identifier, safe=_SAFE, errors="surrogatepass")


def encode_header(text: str) -> str:
    """Percent-encode `%`, spaces and all but printable ASCII, for a metadata value."""
    return quote(text, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}", errors="surrogatepass")


def decode_name_part(text: str) -> str:
    """Decode a part of a blob name, or a metadata value."""
    return unquote(text, errors="surrogatepass")


def day_folder(prefix: str, day: date) -> str:
    """Return the prefix of all blob names in the partition of `day` (UTC)."""
    return f"{prefix}/date={day.isoformat()}/"


def day_blob_name(prefix: str, day: date, identifier: str) -> str:
    """Return the name of an id's JSON blob in the partition of `day` (UTC)."""
    return f"{day_folder(prefix, day)}{encode_name_part(identifier)}.json"
