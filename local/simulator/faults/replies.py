"""Faults in replies.

Endless next links, lists in part; packed, padded and dripping bodies.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

from local.simulator.faults.responses import Fault
from local.simulator.odata import GraphReply

NEXT = "@odata.nextLink"
_NUMBERS = itertools.count(1)


def relink(fault: Fault | None, reply: GraphReply, address: str, query: str) -> GraphReply:
    """Replace the next link of a reply, or leave out entries, if a fault asks for it."""
    if (
        fault is None
        or fault.action not in ("cycle", "endless", "otherLink", "part")
        or reply.status != HTTPStatus.OK
    ):
        return reply
    page = json.loads(reply.body)
    name = next((each for each in page if each.endswith(NEXT)), NEXT)
    if fault.action == "part":
        page.pop(name, None)
        lists = {each: value for each, value in page.items() if isinstance(value, list)}
        listed = "value" if "value" in lists else "attendanceRecords"
        if listed in lists:
            page[listed] = lists[listed][: len(lists[listed]) // 2]
    elif fault.action == "otherLink":
        page["other" + NEXT] = page.pop(name, None) or address
    elif name not in page or fault.action == "endless":
        options = [(key, value) for key, value in parse_qsl(query) if key not in ("$skiptoken", "fresh")]
        options += [("fresh", str(next(_NUMBERS)))] if fault.action == "endless" else []
        page[name] = f"{address}?{urlencode(options)}"
    return GraphReply(reply.status, json.dumps(page, ensure_ascii=False), reply.headers)


def pack(fault: Fault | None, content: bytes) -> tuple[bytes, dict[str, str]]:
    """Pad the content with white space, then apply each of the fault's encodings."""
    if fault is None:
        return content, {}
    content += b" " * fault.pad
    for encoding in filter(None, map(str.strip, fault.encoding.split(","))):
        content = gzip.compress(content) if encoding == "gzip" else zlib.compress(content)
    return content, {"content-encoding": fault.encoding} if fault.encoding else {}


async def drops(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    """The content a byte at a time, with this pause before each."""
    for number in range(len(content)):
        await asyncio.sleep(seconds)
        yield content[number : number + 1]
