"""docs/architecture.md agrees with the code."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from shared.archiving import worker
from shared.doors import webhook
from tests.support.app_settings import ENVIRON
from tests.support.simulated_app import NOW, call, running
from tests.unit.test_imports import LAYERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CALL = "e523d2ed-2966-4b6b-925b-754a88034cc5"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_packages_are_those_of_the_code_in_their_order() -> None:
    table = rows("The packages of `shared/`")
    assert [set(names(row[0])) for row in table] == list(LAYERS)
    assert table[0][2] == "the standard library"
    assert table[1][2] == "the line above"
    for above, row in zip(LAYERS[1:], table[2:], strict=False):
        assert (set(names(row[2])), row[2].endswith("and above")) == (above, True), row


def notification() -> bytes:
    content = json.loads((ROOT / "tests" / "events" / "call-record-created.json").read_text())
    item: dict[str, Any] = content["value"][0]
    resource = f"communications/callRecords/{CALL}"
    item |= {"resource": resource, "resourceData": {"id": CALL, "@odata.id": resource}}
    item |= {"tenantId": ENVIRON["TENANT_ID"], "clientState": ENVIRON["CLIENT_STATE"]}
    return json.dumps(content).encode()


def walk() -> list[str]:
    """The functions of the product that one notification calls, in their order."""
    product, called = f"{ROOT / 'shared'}/", list[str]()

    def called_now(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(product):
            module = code.co_filename.removeprefix(product).removesuffix(".py").replace("/", ".")
            called.append(f"{module}.{code.co_qualname}")

    with running() as app:
        named = json.loads(notification())["value"][0]["subscriptionId"]
        app.services.state.put(f"subscriptions/{named}.json", {"resource": "communications/callRecords"})
        app.calls.append(call(CALL, NOW - timedelta(minutes=10)))
        before = sys.getprofile()
        sys.setprofile(called_now)
        try:
            reply = webhook.answer_post(
                validation_token=None, body=notification(), environ=ENVIRON, traceparent=None
            )
            for text in reply.signals:
                worker.handle_signals(text, app.services)
        finally:
            sys.setprofile(before)
        assert app.stored() == {CALL}
    return called


def test_a_notification_goes_the_way_that_is_written_down() -> None:
    called = iter(walk())
    for step, functions in rows("The way of one notification"):
        for function in names(functions):
            assert function in called, f"{step}: {function} is not called after those before it"
