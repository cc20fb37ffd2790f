"""Names of blobs: partitions by UTC date, and opaque ids as parts of a name."""

from __future__ import annotations

from datetime import date
from urllib.parse import quote, unquote

_KEPT = "=@:,!$'()*+;&"  # a blob name carries these; letters, digits and -._~ are never encoded


def encode_name_part(identifier: str) -> str:
    """An opaque id as a part of a blob name: what a name cannot carry is percent-encoded."""
    return quote(identifier, safe=_KEPT, errors="surrogatepass")


def encode_header(text: str) -> str:
    """Percent-encode space, `%` and anything but printable ASCII, for metadata in an HTTP header."""
    return quote(text, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}", errors="surrogatepass")


def decode_name_part(text: str) -> str:
    """The value behind a part of a name, or behind a header."""
    return unquote(text, errors="surrogatepass")


def day_folder(prefix: str, day: date) -> str:
    """The beginning of the names of all blobs in the partition of `day` (UTC)."""
    return f"{prefix}/date={day.isoformat()}/"


def day_blob_name(prefix: str, day: date, identifier: str) -> str:
    """The name of the JSON blob of `identifier` in the partition of `day` (UTC)."""
    return f"{day_folder(prefix, day)}{encode_name_part(identifier)}.json"
