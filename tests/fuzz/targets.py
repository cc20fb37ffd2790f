"""Fuzz targets: each reader of foreign input, and its permitted errors.

A target raises Wrong for what must not be; any other error that it lets through is one that nobody handles.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import InitVar, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

from shared import limits, settings
from shared.archiving import admission, dead_letters
from shared.doors import events as event_door
from shared.doors import notifications, prefilter, webhook
from shared.errors import AttendanceError, NotOurMessage
from shared.graph import events, join_urls, meetings, report_json, reports, verbatim_json
from shared.graph.client import Graph, is_segment
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.ledger import record
from shared.messages import codec, envelope, resource_paths, rich_notifications, signals, tasks
from shared.messages.signals import Door, EventKind, EventSession, News
from shared.reconcile import call_records
from shared.services import Services
from shared.storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from shared.tables import rows
from tests.fuzz import oracle

CORE: dict[ModuleType, tuple[str, ...]] = {
    resource_paths: (),
    rich_notifications: (),
    events: ("parse", "_organizer", "_moment"),
    verbatim_json: (
        *("loads", "dumps", "canonical", "_integer", "_float", "_constant", "_line", "_write", "_utf8"),
        "_without_annotations",
    ),
    join_urls: ("parse_join_url", "join_url_key", "_guid"),
    meetings: ("parse_call_record", "_organizer", "_guid"),
    admission: ("open_pack", "admits", "admitted", "send_later", "_known_ids", "_can_wait"),
    dead_letters: ("record_unreadable", "_parse"),
    envelope: (),
    event_door: (),
    call_records: ("parse_listed",),
    notifications: (),
    prefilter: (),
    record: ("dump_outcome", "outcome_metadata", "load_outcome", "_load_report"),
    report_json: (),
    reports: ("read", "listed", "_record_pages", "_listed"),
    rows: (),
    signals: ("message", "pack", "unpack", "_item", "_parse", "_canonical", "kind_of"),
    tasks: (),
    webhook: (),
}
STATE = "the-client-state-0123456789abcdef"
TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
# A line of the index, and who was invited: somebody who is in the reports, and others.
LINE = {"scheduledStart": "2026-11-23T09:00:00.000Z", "scheduledEnd": "2026-11-23T10:00:00.000Z"}
INVITED = InviteeList(
    ListState.COMPLETE,
    (
        Invitee(InviteeKind.INVITED, "8b081ef6-4792-4def-b2c9-c363a1bf41d5", tenant_id=TENANT),
        Invitee(InviteeKind.INVITED, email_address="team@contoso.example"),
        Invitee(InviteeKind.REGISTERED, email_address="Guest@x.example", registration_id="r"),
        Invitee(InviteeKind.INVITED),
    ),
)
ENVIRON = {
    "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
    "AzureWebJobsStorage__accountName": "app",
    "TENANT_ID": TENANT,
    "CLIENT_STATE": STATE,
    "AZURE_CLIENT_ID": "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68",
    "WEBSITE_HOSTNAME": "app.azurewebsites.net",
    "MAINTAIN_SCHEDULE": "0 */15 * * * *",
    "SWEEP_SCHEDULE": "0 10 * * * *",
    "SIGNALS": "call-records,virtual-events,call-events",
    "ENCRYPTION_KEY_ID": "key.pem",
    "NOTIFICATION_MAX_BYTES": "150000",
}
MOST = 150_000
OTHER_CALL = "0d2b3c44-1111-4222-8333-5b2f8f7a6d10"
HUB_ENVIRON = {
    **ENVIRON,
    "DELIVERY": "webhook,event-hubs",
    "GraphEventHub__fullyQualifiedNamespace": "attendance.servicebus.windows.net",
}
KNOWN = "5f1a3c8e-1f0e-4c9a-b6a4-6b1f2f0f8a11"
SECRETS = ("validationTokens", "encryptedContent")
CALL = "e523d2ed-2966-4b6b-925b-754a88034cc5"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
JOIN = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22Tid%22%3a%22"
    f"{TENANT}%22%2c%22Oid%22%3a%228b081ef6-4792-4def-b2c9-c363a1bf41d5%22%7d"
)


class Wrong(Exception):
    """The core did what it must not do."""


@dataclass
class Target:
    """A part of the core: documents to start from, and what is done with a body.

    `is_door`: whoever can reach the app, or one of its queues, can send it.
    """

    name: str
    documents: InitVar[list[Any]]
    feed: Callable[[bytes, Random], None]
    is_door: bool = False
    known: list[str] = field(default_factory=list)
    seeds: list[str] = field(init=False)

    def __post_init__(self, documents: list[Any]) -> None:
        self.seeds = [json.dumps(each) for each in documents]


def item(**changes: Any) -> dict[str, Any]:
    """A change notification of a call record."""
    return {
        "subscriptionId": KNOWN,
        "clientState": STATE,
        "changeType": "created",
        "resource": f"communications/callRecords/{CALL}",
        "resourceData": {"@odata.id": f"communications/callRecords/{CALL}", "id": CALL},
        "tenantId": TENANT,
    } | changes


def all_targets(events_folder: Path) -> list[Target]:
    """Every target; `events_folder` has real payloads."""
    real = {file.stem: json.loads(file.read_text()) for file in sorted(events_folder.glob("*.json"))}
    records = [
        value for name, value in real.items() if name.startswith("call-record-") and "created" not in name
    ]
    report = real["attendance-report"]
    return [
        Target("webhook", notifications_of(real), _webhook, is_door=True),
        Target("event hub", [*notifications_of(real), *_validations()], _hub_event, is_door=True),
        Target("queue graph-events", _cloud_events(real), _grid_event, is_door=True),
        Target("queue meeting-signals", _signal_documents(), _signal_message, is_door=True),
        Target("queue upkeep", _upkeep_messages(), _upkeep_message, is_door=True),
        Target("call record", [*records, *_call_records(records[0])], _call_record),
        Target("report", [report, *_other_reports(report)], _report),
        Target("list of reports", [{"value": [report, report]}, {"value": []}], _reports),
        Target("virtual event", [_virtual_event()], _event_item),
        Target("outcome", [json.loads(record.dump_outcome(each)) for each in _outcomes()], _outcome),
        Target("address", _addresses(), _address),
    ]


def _call_records(record: dict[str, Any]) -> list[Any]:
    short = "https://teams.microsoft.com/meet/2553173220340?p=x"
    return [
        {**record, "joinWebUrl": JOIN},
        {**record, "joinWebUrl": short},
        {**record, "joinWebUrl": "https://teams.microsoft.com/l/meetup-join/x?context=%7b"},
        {**record, "joinWebUrl": "https://teams.microsoft.com/l/meetup-join/x?context=[]"},
        {**record, "type": "peerToPeer", "startDateTime": "never"},
    ]


def _other_reports(report: dict[str, Any]) -> list[Any]:
    people = report["attendanceRecords"]
    odd = {"user": people[0]["identity"]}
    return [
        {**report, "attendanceRecords": None, "value": people},
        {**report, "@odata.nextLink": "https://graph.microsoft.com/v1.0/next", "value": people},
        {**report, "attendanceRecords@odata.nextLink": "https://graph.microsoft.com/v1.0/next"},
        {**report, "attendanceRecords": [{**people[0], "identity": odd}]},
        {**report, "attendanceRecords": [{**people[0], "totalAttendanceInSeconds": 1.5}]},
    ]


def notifications_of(real: dict[str, Any]) -> list[Any]:
    event_id = "f5b19e0c-1f0e-4c9a-b6a4-6b1f2f0f8a11@7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
    of_event = f"solutions/virtualEvents/webinars/{event_id}"
    resource = f"communications/onlineMeetings(joinWebUrl='{quote(JOIN, safe='')}')/meetingCallEvents"
    names = ("data", "dataKey", "dataSignature", "encryptionCertificateId", "encryptionCertificateThumbprint")
    sealed = dict.fromkeys(names, "AAAA")
    of_report = {"@odata.id": f"{of_event}/sessions/s/attendanceReports/r"}
    items = [
        item(),
        item(resource=f"communications/callRecords('{CALL}')"),
        item(resource="communications/callRecords", tenantId=None),
        item(lifecycleEvent="reauthorizationRequired"),
        item(lifecycleEvent="missed"),
        item(resource=of_event + "/getAttendanceReports", resourceData=of_report),
        item(resource="solutions/virtualEvents/events", resourceData={"@odata.id": of_event}),
        item(resource=resource, encryptedContent=sealed),
        item(resource=resource),
        item(resource=resource, encryptedContent={**sealed, "data": "A" * 45_000}),
        item(resource=f"communications/onlineMeetings(joinWebUrl='{JOIN}')/meetingCallEvents"),
        item(resource=f"communications/onlineMeetings/?$filter=joinWebUrl eq '{JOIN}'"),
        item(resource="communications/onlineMeetings(joinWebUrl='nowhere')/meetingCallEvents"),
        item(clientState="another"),
        item(tenantId="0f0e0d0c-0b0a-4908-8706-050403020100"),
    ]
    sent = [each for body in real.values() if isinstance(body, dict) for each in body.get("value", [])]
    items += [{**each, "clientState": STATE, "tenantId": TENANT} for each in sent]
    return [{"value": [each], "validationTokens": ["a.b.c"]} for each in items] + [{"value": items}]


def _webhook(body: bytes, source: Random) -> None:
    environ, token = ENVIRON, None
    if source.random() < 0.01:
        environ = {**ENVIRON, source.choice(list(ENVIRON)): source.choice(("", "x", "https://"))}
    elif source.random() < 0.01:
        token = "token <&> %2B"
    elif source.random() < 0.01:
        body += b" " * MOST
    trace = source.choice((None, "", TRACE, "00-x"))
    reply = webhook.answer_post(validation_token=token, body=body, environ=environ, traceparent=trace)
    sent = [*reply.signals, *reply.tasks]
    if any(len(each.encode()) > envelope.MAX_MESSAGE_BYTES for each in sent):
        raise Wrong("a message is larger than a queue takes")
    if token is not None:
        _check(environ is not ENVIRON or (reply.status, reply.text) == (200, token), "the handshake")
        return
    if environ is not ENVIRON:
        _check(reply.status in (503, 202, 400, 413), f"status {reply.status}")
        _check(reply.status == 202 or not sent, "something was enqueued and refused")
        return
    if source.random() < 0.001:
        clock = iter((0.0, 1.0, 100.0))
        tally = limits.Tally(lambda: next(clock))
        due = [tally.add({"a": count}) for count in (0, 2, 3, 0)]
        counted = [each.counts["a"] if each else 0 for each in due]
        _check(counted == [0, 2, 0, 3], "the tally counts wrongly")
    wanted = oracle.verdict(body, STATE, TENANT, MOST)
    _check(reply.status == wanted.status, f"status {reply.status}, not {wanted.status}")
    _check(reply.status == 202 or not sent, "something was enqueued and refused")
    found = [each for text in reply.signals for each in _ids(json.loads(text))]
    calls = {each.removeprefix("cr-") for each in found if each.startswith("cr-")}
    _check(calls == wanted.calls, f"calls {calls}, not {wanted.calls}")
    _check(len(found) <= wanted.authentic, "more signals than items that authenticate")
    for text in reply.signals:
        rich_notifications.parse_message(text)
    for text in reply.tasks:
        tasks.parse_task(text)


def _validations() -> list[Any]:
    """The message by which Graph tries a hub."""
    about = dict.fromkeys(
        ("subscriptionId", "subscriptionExpirationDateTime", "clientState", "resource"), "NA"
    )
    kind = f"Validation: Testing client application reachability for subscription Request-Id: {CALL}"
    data = {"@odata.type": "NA", "@odata.id": "NA", "id": "NA"}
    return [{"value": [{**about, "changeType": kind, "resourceData": data}]}]


def _cloud_events(real: dict[str, Any]) -> list[Any]:
    """The notifications, each as a CloudEvent."""
    head = {"specversion": "1.0", "id": CALL, "type": "Microsoft.Graph.CallRecordCreated", "source": "/t"}
    return [{**head, "data": each["value"][0]} for each in notifications_of(real) if each["value"]]


def _hub_event(body: bytes, source: Random) -> None:
    _event(body, source, Door.EVENT_HUBS, body, b'{"value":[%s]}')


def _grid_event(body: bytes, source: Random) -> None:
    content = _plain_json(body)
    inner = json.dumps({"value": [content["data"]]}).encode() if _has_data(content) else b""
    _event(body, source, Door.EVENT_GRID, inner, b'{"data":%s}')


def _event(body: bytes, source: Random, door: Door, as_post: bytes, form: bytes) -> None:
    """An event in a batch, beside one of a call, which must come through whatever the other holds."""
    beside = form % json.dumps(item(resource=f"communications/callRecords/{OTHER_CALL}")).encode()
    batch = [body, beside] if source.random() < 0.5 else [beside, body]
    reply = event_door.forward_events(batch, HUB_ENVIRON, source.choice((None, TRACE)), door)
    sent = [*reply.signals, *reply.tasks]
    _check(all(len(each.encode()) <= envelope.MAX_MESSAGE_BYTES for each in sent), "a message is too large")
    wanted = oracle.verdict(as_post, STATE, TENANT, len(as_post), checked=False)
    found = [each for text in reply.signals for each in _ids(json.loads(text))]
    calls = {each.removeprefix("cr-") for each in found if each.startswith("cr-")}
    _check(calls == wanted.calls | {OTHER_CALL}, f"calls {calls}, not {wanted.calls} and that beside it")
    _check(len(found) <= wanted.authentic + 1, "more signals than items that authenticate")
    for text in reply.signals:
        rich_notifications.parse_message(text)
    for text in reply.tasks:
        tasks.parse_task(text)


def _plain_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _has_data(content: object) -> bool:
    return isinstance(content, dict) and "data" in content


def _ids(content: dict[str, Any]) -> Iterator[str]:
    """Something for each message of a pack, or rich item; for news of a call its id."""
    for each in content.get("messages", content.get("items", [content])):
        yield each.get("signalId", "other")


def _signal_documents() -> list[Any]:
    far = f"{JOIN}{'a' * 41_000}"
    too_long = [
        signals.call_record_news("a", NOW, meeting=signals.Meeting(NOW, NOW, far)),
        signals.call_event_news(far, NOW, NOW),
    ]
    empty = {"version": 2, "kind": "pack", "messages": []}
    texts = [*map(signals.serialize_message, too_long), *_signal_messages()]
    return [empty, *(json.loads(text) for text in texts)]


def _signal_messages() -> list[str]:
    session = EventSession(EventKind.WEBINAR, "e", "s")
    meeting = signals.Meeting(NOW, NOW, JOIN, "8b081ef6-4792-4def-b2c9-c363a1bf41d5", "m", session)
    known: list[signals.Message] = [
        signals.call_record_news("a", NOW, meeting=meeting, subscription_id="s"),
        signals.call_record_news(CALL.upper(), NOW, traceparent=TRACE),
        signals.Nudge("cr-c", 2, TRACE),
        signals.report_news("r", session, NOW),
        signals.report_news("r", session, NOW, subscription_id="another", waits=3),
        signals.call_record_news("a", NOW, subscription_id=KNOWN),
        signals.call_event_news(JOIN, NOW, NOW),
    ]
    rich = notifications.parse_notifications(
        json.dumps(notifications_of({})[7]).encode(), settings.load(ENVIRON), NOW, None
    ).encrypted
    return [
        *(signals.serialize_message(each) for each in known),
        *signals.pack_messages(known),
        *rich_notifications.pack_batch(rich)[0],
    ]


class _Queue:
    """A queue that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, text: str, delay: int = 0) -> None:
        _check(0 <= delay <= settings.MAX_QUEUE_DELAY, f"a message is hidden for {delay} s")
        self.sent.append(text)


class _Journal:
    """A ledger that takes dead letters, and a queue."""

    def __init__(self) -> None:
        self.queue = _Queue()
        self.kept: list[record.Record] = []

    @property
    def ledger(self) -> "_Journal":
        return self

    def update(
        self, _: str, change: Callable[[None], record.Record], commit: record.Commit
    ) -> tuple[record.Record, bool]:
        return change(None).with_commit(commit, None), True

    def follow(self, records: list[record.Record]) -> None:
        self.kept += records


NEWS_LIMITS = limits.NewsLimits()


def _services() -> Services:
    registry = SimpleNamespace(is_known=lambda each: each == KNOWN)
    made = SimpleNamespace(journal=_Journal(), news=NEWS_LIMITS, subscriptions=registry)
    return cast(Services, made)


def _bury(text: str, queue: str, problem: str) -> None:
    """Record a message that cannot be read, as the worker does."""
    services = _services()
    dead_letters.record_unreadable(text, queue, problem, services.journal)
    kept = cast(_Journal, services.journal).kept
    _check(len(kept) == 1 and kept[0].buried is not None, "a message was not kept")
    written = codec.dumps(kept[0]) + record.dump_outcome(kept[0]).decode()
    _check(not any(f'"{each}' in written.replace("\\", "") for each in SECRETS), "a secret was kept")


def _signal_message(body: bytes, _: Random) -> None:
    text = body.decode(errors="backslashreplace")
    signals.kind_of(text)
    try:
        found = rich_notifications.parse_message(text)
    except NotOurMessage as failure:
        _bury(text, SIGNALS_QUEUE, str(failure))
        return
    services = _services()
    sent = cast(_Queue, services.journal.queue).sent
    if isinstance(found, rich_notifications.EncryptedBatch):
        _rich(found, services, sent)
        return
    if len(found) > 1:
        admission.open_pack(found, services)
        _check(len(sent) <= len(found), "a pack sent more than it held")
    else:
        is_admitted = admission.admits(found[0], services)
        _check(len(sent) <= 1 and not (is_admitted and sent), "news was handled and sent again")
        _check(not is_admitted or _may_pass(found[0]), "news of an unknown subscription was handled")
    for each in sent:
        (again,) = _messages(each)
        _check(_may_pass(again) or again.waits <= admission.MAX_WAITS, "news of nobody was sent")  # type: ignore[union-attr]
        _check(_may_pass(again) or not again.signal_id.startswith("cr-"), "news of an unknown call was sent")
    _check_packing(found, text)


def _may_pass(message: signals.Message) -> bool:
    return not isinstance(message, News) or message.subscription_id in (None, KNOWN)


def _messages(text: str) -> Sequence[signals.Message]:
    read = rich_notifications.parse_message(text)
    if isinstance(read, rich_notifications.EncryptedBatch):
        raise Wrong("news became rich items")
    return read


def _rich(found: rich_notifications.EncryptedBatch, services: Services, sent: list[str]) -> None:
    texts, too_large = rich_notifications.pack_batch(found)
    _check(len(texts) >= 1 or bool(too_large), "rich items became nothing")
    _check(len(found.without_ciphertext()) <= len(found.items), "more news than items")
    admitted = admission.admitted(found, services)
    _check(all(each.subscription_id in (None, KNOWN) for each in admitted.items), "rich items of nobody")
    _check(not sent or found.waits < admission.MAX_WAITS, "rich items wait for ever")


def _check_packing(found: Sequence[signals.Message], text: str) -> None:
    if len(text) <= envelope.MAX_MESSAGE_BYTES:
        many = signals.pack_messages([*found] * 500)
        _check(all(len(each) <= envelope.MAX_MESSAGE_BYTES for each in many), "a pack is too large")
    else:
        signals.pack_messages(found)
    for each in found:
        # Times have milliseconds in messages, whatever they came with.
        again = signals.serialize_message(each)
        read = signals.unpack_messages(json.loads(again))
        _check([signals.serialize_message(one) for one in read] == [again], "a signal changed on its way")


def _upkeep_messages() -> list[Any]:
    by_hand = {"version": 1, "kind": "backfill", "from": "2026-10-26", "to": "2026-11-24"}
    backwards = {
        "version": 1,
        "kind": "redrive",
        "outcomes": ["failed"],
        "from": "2026-10-26",
        "to": "2026-10-25",
    }
    return [by_hand, backwards, *(json.loads(tasks.serialize_task(tasks.Task(job))) for job in _jobs())]


def _jobs() -> list[tasks.Job]:
    return [
        tasks.RenewSubscription("s"),
        tasks.MaintainSubscriptions(),
        tasks.NotificationsRefused(3),
        tasks.Sweep("full", 2),
        tasks.Backfill(NOW, NOW.replace(day=24)),
        tasks.Redrive(frozenset({"failed"}), NOW.date(), NOW.date(), opened=True, started=NOW, after="x"),
        tasks.RefreshDay(NOW.date()),
        tasks.Redrive(frozenset({"failed"}), date(2026, 11, 1), NOW.date()),
        tasks.WriteDaily(NOW.date(), "0" * 64, 0, 1, 0, 10),
        tasks.SubscribeEvent(EventKind.TOWNHALL, "e"),
        tasks.DeleteSubscription("s"),
        tasks.Examine("0" * 32, ("8b081ef6-4792-4def-b2c9-c363a1bf41d5",)),
    ]


def _upkeep_message(body: bytes, _: Random) -> None:
    text = body.decode(errors="backslashreplace")
    try:
        task = tasks.parse_task(text)
    except NotOurMessage as failure:
        _bury(text, UPKEEP_QUEUE, str(failure))
        return
    again = tasks.serialize_task(task)
    _check(tasks.serialize_task(tasks.parse_task(again)) == again, "a task changed on its way")


def _call_record(body: bytes, _: Random) -> None:
    content = _json(body)
    call_records.parse_listed(content)
    if isinstance(content, dict):
        with suppress(AttendanceError):
            meetings.parse_call_record(content, "get call record")
        if isinstance(url := content.get("joinWebUrl"), str):
            join_urls.parse_join_url(url)


class _Answers:
    """A Graph that gives one document at every address, in a few pages."""

    request_id = None

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def get(self, *_: object) -> dict[str, Any]:
        return self._content

    def list_pages(self, *_: object) -> Iterator[list[Any]]:
        value = self._content.get("value")
        yield value if isinstance(value, list) else []

    def follow_links(self, link: object, *_: object) -> Iterator[dict[str, Any]]:
        if link is not None:
            yield self._content


def _report(body: bytes, source: Random) -> None:
    try:
        content = verbatim_json.loads(body.decode(errors="replace") if source.random() < 0.1 else body)
    except ValueError:
        return
    for row in rows.attendee_rows(content if isinstance(content, dict) else {}, LINE, TENANT):
        _check(row.keys() >= {"recordId", "intervals"}, "a row lacks columns")
    if not isinstance(content, dict):
        return
    list(rows.engagement_rows(content, LINE))
    for row in rows.invitee_rows(content, LINE, INVITED, TENANT):
        _check(row["attended"] in (True, False, None), "an odd value tells who attended")
    graph, where = cast(Graph, _Answers(content)), reports.MeetingReports("o", "m", JOIN)
    asked = content.get("id")  # another report's answer is not read
    with (
        suppress(AttendanceError),
        reports.read_report(graph, where, asked if is_segment(asked) else "r") as report,
    ):
        stored = verbatim_json.loads(report.body.read())
        _check(isinstance(stored["attendanceRecords"], list), "a report without records was written")
        _check(not report_json.NEXT_LINKS & stored.keys(), "a link to a next page was written")


def _reports(body: bytes, _: Random) -> None:
    content = _json(body)
    if isinstance(content, dict):
        graph, where = cast(Graph, _Answers(content)), reports.MeetingReports("o", "m", JOIN)
        with suppress(AttendanceError):
            reports.list_reports(graph, where)


def _virtual_event() -> dict[str, Any]:
    return {
        "id": "e@7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10",
        "status": "published",
        "startDateTime": {"dateTime": "2026-11-23T09:00:00.0000000", "timeZone": "UTC"},
        "endDateTime": {"dateTime": "2026-11-23T10:00:00.0000000", "timeZone": "Pacific Standard Time"},
        "createdBy": {"user": {"id": "8b081ef6-4792-4def-b2c9-c363a1bf41d5", "displayName": "F"}},
    }


def _event_item(body: bytes, source: Random) -> None:
    events.parse_event(source.choice(list(EventKind)), _json(body))


def _outcomes() -> list[record.Record]:
    meeting = signals.Meeting(NOW, NOW, JOIN, "o", "m", EventSession(EventKind.WEBINAR, "e", "s"))
    stored = record.StoredReport("r", NOW, "reports/date=2026-11-23/r.json")
    known = record.Record(
        "cr-a", record.Result.STORED, NOW, 1, record.AttemptSeries(NOW), record.NextAttempt(1, NOW)
    )
    buried = record.DeadLetter("upkeep", "redrive", 1, "0" * 64)
    return [
        replace(known, settled=NOW, meeting=meeting, reports=(stored,)),
        record.Record("msg-a", record.Result.FAILED, NOW, 0, record.AttemptSeries(NOW), buried=buried),
    ]


def _outcome(body: bytes, source: Random) -> None:
    told = {"revision": source.choice(("1", "x")), "version": source.choice(("1", "x")), "stored": "never"}
    told = {name: told[name] for name in source.sample(sorted(told), source.randrange(4))}
    with suppress(ValueError, KeyError, TypeError):  # what its readers take for 'written by somebody else'
        found = record.load_outcome(body, told)
        record.load_outcome(record.dump_outcome(found), record.outcome_metadata(found))


def _addresses() -> list[Any]:
    root = "https://graph.microsoft.com/v1.0"
    below = "onlineMeetings/MSo4/attendanceReports/r"
    event = "solutions/virtualEvents/townhalls/e@t/sessions/s/attendanceReports/r"
    quoted = "solutions/virtualEvents/webinars('e')/sessions('s')/attendanceReports('r')"
    one = "solutions/virtualEvents/webinars"
    return [
        [f"{root}/me/{below}"],
        [f"/users/u/{below}"],
        [event],
        [f"{root}/{event}?$expand=attendanceRecords"],
        *(
            [text]
            for text in (quoted, f"{one}/e@t", f"{one}('e')", f"{one}/%20", event.replace("e@t", "%20"))
        ),
    ]


def _address(body: bytes, _: Random) -> None:
    content = _json(body)
    text = content[0] if isinstance(content, list) and content and isinstance(content[0], str) else ""
    for read in (
        resource_paths.parse_report_address,
        resource_paths.parse_event_path,
        resource_paths.parse_event_report_path,
    ):
        found = read(text)
        _check(found is None or "/" not in str(getattr(found, "report_id", "")), "an id holds a slash")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)
