"""Findings of single checks: a sentence with its severity and remedy.

Health, `status`, the app's self-check and `doctor` get the same finding from the same function here. Sentences about
queues, days and reconciliation are in `diagnosis`. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ..errors import AccessDenied, GraphError
from ..settings import EVENT_GRID, EVENT_HUBS, WEBHOOK
from ..subscriptions.status import DELIVERING, Maintenance, SubscriptionStatus, SubscriptionView
from ..times import format_utc

ASSIGN_IDENTITY = "Assign the managed identity to the app, and set AZURE_CLIENT_ID to its client id."
LOOK_AGAIN = "Try again in some minutes."
STORAGE_REMEDY = (
    "Check that the storage account is available, that its address in the app's settings is right, and that its "
    "network rules allow this caller."
)
COLD_START = 60.0  # seconds in which an idle app starts
_GRANT = (
    "Grant the application permission {} to the app's identity, with infra/graph.bicep or "
    "infra/grant-permissions.sh. Its token keeps its old permissions for up to a day."
)
_DELIVERY_REMEDIES = {
    EVENT_HUBS: "Give the service principal of Microsoft Graph Change Tracking the role Azure Event Hubs Data Sender "
    "on the hub (parameter changeTrackingPrincipalId), and leave the namespace open to the internet: it takes tokens "
    "of Microsoft Entra alone.",
    EVENT_GRID: "Register Microsoft.EventGrid, authorize the partner MicrosoftGraphAPI in the resource group of "
    "PARTNER_TOPIC, and give the topic a name that is not taken.",
}
FORMER_OPEN = timedelta(days=1)
VALIDATION_TIME = timedelta(minutes=15)  # after which the validation message of a new subscription has come
_SUBSCRIPTIONS, _ENDPOINT, _PERMISSIONS, _STORAGE = (
    "subscriptions",
    "endpoint",
    "graph permissions",
    "storage",
)


class Severity(StrEnum):
    """Severity of a finding; `unknown`: it could not be checked."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The result of one check: a severity, a sentence, and a remedy if needed."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """The sentence and the remedy."""
        return f"{self.message} {self.remedy}".rstrip()


def finding_json(finding: Finding) -> dict[str, str]:
    """Return a finding as JSON data."""
    return {
        "check": finding.check,
        "state": finding.severity,
        "says": finding.message,
        "cure": finding.remedy,
    }


# The webhooks' secret


def client_state(*, is_plain: bool) -> Finding:
    """Finding: whether a stranger's large body is recognised before it is parsed."""
    check = "client state"
    if is_plain:
        return Finding(check, Severity.OK, "Large bodies without an accepted client state are not parsed.")
    return Finding(
        check,
        Severity.WARNING,
        "An accepted client state has other characters than A-Z a-z 0-9 . _ ~ -, so every body is parsed, and anyone "
        "can slow the webhooks down.",
        "Create a new one with scripts/rotate.",
    )


# Storage

_MISSING = {"QueueNotFound", "ContainerNotFound"}
_FORBIDDEN = {"AuthorizationFailure", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions"}
_TOKENLESS = {"ClientAuthenticationError", "CredentialUnavailableError"}  # errors of azure.identity


@dataclass(frozen=True)
class Unread:
    """A queue or container that could not be read.

    With its address, and an error code or a few words.
    """

    subject: str
    url: str
    reason: str
    is_queue: bool = False


def unread_storage(failures: Iterable[Unread], *, as_operator: bool) -> list[Finding]:
    """Findings: storage that could not be read, one for each cause, the widest first."""
    causes: dict[str, list[Unread]] = {"token": [], "answer": []}
    for each in failures:
        if each.reason in _TOKENLESS:
            cause = "token"
        elif each.reason in _MISSING:
            cause = "missing"
        elif each.reason in _FORBIDDEN:
            cause = f"{each.reason} {each.is_queue}"
        else:
            cause = "answer"
        causes.setdefault(cause, []).append(each)
    return [_unread(cause, each, as_operator=as_operator) for cause, each in causes.items() if each]


def _unread(cause: str, failures: Sequence[Unread], *, as_operator: bool) -> Finding:
    subjects = _join(each.subject for each in failures)
    reason = failures[0].reason
    if cause == "token":
        return Finding(
            _STORAGE, Severity.PROBLEM, f"There is no token for storage ({reason}).", ASSIGN_IDENTITY
        )
    if cause == "missing":
        remedy = "Deploy again, or check that the app's settings name the right accounts and container."
        return Finding(_STORAGE, Severity.PROBLEM, f"Storage has no {subjects} ({reason}).", remedy)
    if cause == "answer":
        addresses = _join(dict.fromkeys(each.url for each in failures))
        message = f"Storage does not answer ({reason}): {addresses}."
        remedy = f"{STORAGE_REMEDY} What is kept there is unknown until then."
        return Finding(_STORAGE, Severity.PROBLEM, message, remedy)
    kind = "Queue" if failures[0].is_queue else "Blob"
    who, role = ("your account", "Reader") if as_operator else ("the app's identity", "Contributor")
    if reason == "AuthorizationFailure":
        remedy = "Allow this caller's network in the storage account's network rules; if they do, give "
    else:
        remedy = "Give "
    remedy += f"{who} the role Storage {kind} Data {role} there; a new role takes some minutes."
    return Finding(_STORAGE, Severity.PROBLEM, f"Storage refuses access to {subjects} ({reason}).", remedy)


def _join(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


# Subscriptions


def is_accepted_by_graph(views: Iterable[SubscriptionView], run: Maintenance | None) -> bool:
    """Whether Graph delivers to the webhooks, as far as is known."""
    return not (run and run.validation) and any(each.status in DELIVERING for each in views)


def unreadable_list(failure: GraphError, graph_root: str) -> Finding:
    """Finding: Graph's list of subscriptions cannot be read."""
    if isinstance(failure, AccessDenied):
        remedy = _GRANT.format("CallRecords.Read.All")
    elif failure.operation == "get a token":
        remedy = ASSIGN_IDENTITY
    else:
        remedy = f"{LOOK_AGAIN} If that does not help, check that the app can reach {graph_root}."
    message = f"The list of subscriptions cannot be read ({failure})."
    return Finding(_SUBSCRIPTIONS, Severity.PROBLEM, message, remedy)


def subscription(view: SubscriptionView, run: Maintenance | None) -> Finding:
    """Finding about one subscription after the last maintenance.

    A subscription that is not desired has an id, whatever its status.
    """
    severity, subject = Severity.PROBLEM, f"The subscription to {view.resource}"
    match view.status:
        case SubscriptionStatus.ACTIVE:
            message = f"{subject} is active until {format_utc(view.expires)}."
            return Finding(_SUBSCRIPTIONS, Severity.OK, message)
        case SubscriptionStatus.UNWANTED | SubscriptionStatus.ELSEWHERE if view.id:
            severity, fault = Severity.WARNING, "was not created by this app's settings"
        case SubscriptionStatus.RENEWAL_OVERDUE:
            severity = Severity.WARNING
            fault = f"is overdue for renewal; it expires at {format_utc(view.expires)}"
        case SubscriptionStatus.EXPIRED:
            fault = f"expired at {format_utc(view.expires)}, so Graph announces no meeting"
        case SubscriptionStatus.FORMER_DELIVERY:
            fault = "still delivers in the former way"
        case SubscriptionStatus.NOT_ACCEPTED:
            fault = "has a clientState or a lifecycle address that the app does not accept"
        case _:
            fault = "is missing, so Graph announces no meeting"
    return Finding(_SUBSCRIPTIONS, severity, f"{subject} {fault}.", _subscription_remedy(view, run))


def _subscription_remedy(view: SubscriptionView, run: Maintenance | None) -> str:
    if view.status in (SubscriptionStatus.UNWANTED, SubscriptionStatus.ELSEWHERE):
        if view.id:
            return f"If nothing else uses it: attendance subscriptions delete {view.id}"
        return (
            "The app's identity has one at another address, which blocks this one: delete that one, or give this "
            "deployment an identity of its own."
        )
    if run is None:
        return never_maintained().message
    if run.validation and view.status not in DELIVERING:
        return closed_to_graph(run.validation, run.delivery).text
    if run.problems:
        return last_maintenance(run).message
    return (
        f"maintain_subscriptions last ran at {format_utc(run.at)}. Run it now with "
        "`attendance subscriptions renew`; if that does not help, its log says why."
    )


def never_maintained() -> Finding:
    """Finding: the app has not maintained its subscriptions yet."""
    message = "maintain_subscriptions has not run yet: MAINTAIN_SCHEDULE says when it runs."
    remedy = "To run it now: attendance subscriptions renew"
    return Finding(_SUBSCRIPTIONS, Severity.PROBLEM, message, remedy)


def last_maintenance(run: Maintenance) -> Finding:
    """Finding: the last maintenance had problems."""
    message = (
        f"maintain_subscriptions last ran at {format_utc(run.at)} and had problems: {' '.join(run.problems)}"
    )
    return Finding(_SUBSCRIPTIONS, Severity.WARNING, message)


# The webhooks' address


def endpoint_open(caller: str) -> Finding:
    """Finding: both webhooks answer the validation handshake of a caller."""
    return Finding(_ENDPOINT, Severity.OK, f"Both webhooks answer the handshake of {caller}.")


def closed_to(caller: str, problem: str, *, accepted: bool) -> Finding:
    """Finding: the webhooks do not answer the app or an operator's machine.

    `accepted`: Graph reaches them.
    """
    remedy = (
        "Graph has accepted their address, so nothing is lost: an access restriction or private DNS blocks "
        "only this caller."
        if accepted
        else "Check that the app runs and that NOTIFICATION_BASE_URL is its public address. If an access "
        "restriction or private DNS blocks only this caller, what counts is whether Graph gets through."
    )
    severity = Severity.WARNING if accepted else Severity.PROBLEM
    return Finding(_ENDPOINT, severity, f"The webhooks are closed to {caller}: {problem}.", remedy)


def hub(run: Maintenance | None, validated: datetime | None, now: datetime) -> Finding:
    """Finding: whether Graph's validation message came through the event hub.

    Graph sends one when a subscription is created, and nothing else shows from here that the app receives.
    """
    asked = run.created if run and run.delivery == EVENT_HUBS else None
    if validated and (asked is None or validated >= asked - VALIDATION_TIME):
        message = f"Graph's validation message came through the event hub at {format_utc(validated)}."
        return Finding(_ENDPOINT, Severity.OK, message)
    if asked is None or now - asked <= VALIDATION_TIME:
        message = "No validation message has come through the event hub yet."
        return Finding(_ENDPOINT, Severity.UNKNOWN, message, LOOK_AGAIN)
    return Finding(
        _ENDPOINT,
        Severity.PROBLEM,
        f"Graph created a subscription at {format_utc(asked)}, but its validation message has not come through the "
        "event hub.",
        "Check that receive_events runs, that the app's identity has the role Azure Event Hubs Data Receiver on the "
        "hub, and that GraphEventHub__fullyQualifiedNamespace is right. Until then the sweep finds meetings.",
    )


def former_delivery(run: Maintenance | None, ways: Sequence[str], now: datetime) -> Finding | None:
    """Finding: the former way of delivery is still open, a day after the move."""
    moved = run.created if run and run.delivery == ways[0] else None
    if len(ways) < 2 or moved is None or now - moved <= FORMER_OPEN:
        return None
    message = f"DELIVERY still names {ways[1]}, a day after Graph began to deliver by {ways[0]}."
    return Finding(_ENDPOINT, Severity.WARNING, message, "Deploy without formerDelivery.")


def topic(last: datetime | None, views: Iterable[SubscriptionView]) -> Finding:
    """Finding: whether anything came from the partner topic."""
    if last:
        return Finding(_ENDPOINT, Severity.OK, f"The last notification came at {format_utc(last)}.")
    delivering = any(each.status in DELIVERING for each in views)
    return Finding(
        _ENDPOINT,
        Severity.WARNING if delivering else Severity.UNKNOWN,
        "Nothing has come from the partner topic yet.",
        "If a meeting has ended since the subscription was created: infra/connect-event-grid.sh activates the topic "
        "and leads its events to the queue graph-events.",
    )


def closed_to_graph(problem: str, delivery: str) -> Finding:
    """Finding: Graph's validation failed at the last request."""
    if delivery != WEBHOOK:
        return Finding(
            _ENDPOINT,
            Severity.PROBLEM,
            f"Graph cannot deliver by {delivery}: {problem}.",
            _DELIVERY_REMEDIES[delivery],
        )
    return Finding(
        _ENDPOINT,
        Severity.PROBLEM,
        f"The webhooks are closed to Graph, whose validation handshake failed: {problem}.",
        "Allow Microsoft Graph's change notification addresses in every access restriction and firewall in front "
        "of NOTIFICATION_BASE_URL, and make its public DNS name point to the app.",
    )


def endpoint_unknown() -> Finding:
    """Finding: the command line does not know the webhooks' address."""
    message = "NOTIFICATION_BASE_URL is not set here; the app checks the address itself."
    return Finding(_ENDPOINT, Severity.UNKNOWN, message)


# The app's own rights


def failure_text(failure: Exception) -> str:
    """Describe an error without a message for people by its code or type."""
    code = getattr(failure, "error_code", None)
    return f"Failed ({getattr(code, 'value', code) or type(failure).__name__})."


def app_writes(failure: str = "") -> Finding:
    """Finding about the app's access to its container; `failure` says what failed."""
    return _access(
        "storage",
        failure,
        "The app can write to its container.",
        "Give the app's identity the role Storage Blob Data Contributor on the container, or deploy again.",
    )


def encryption_key(failure: str = "") -> Finding:
    """Finding about the key for call events; `failure` says what failed."""
    return _access(
        "encryption key",
        failure,
        "The key for call events can be used.",
        "Check that ENCRYPTION_KEY_ID names a key, and give the app's identity the role Key Vault Crypto User on it.",
    )


def _access(check: str, failure: str, well: str, remedy: str) -> Finding:
    return Finding(check, Severity.PROBLEM, failure, remedy) if failure else Finding(check, Severity.OK, well)


def no_token(failure: GraphError) -> Finding:
    """Finding: the app gets no token for Graph."""
    return Finding(_PERMISSIONS, Severity.PROBLEM, f"{failure}.", ASSIGN_IDENTITY)


def permissions_unknown(reason: str) -> list[Finding]:
    """Findings: the app's token for Graph could not be had in time."""
    return [Finding(_PERMISSIONS, Severity.UNKNOWN, f"Not checked: {reason}.", LOOK_AGAIN)]


def permissions(needed: Iterable[str], granted: Sequence[object] | None) -> list[Finding]:
    """Findings about the permissions in the app's token; None: unreadable."""
    if granted is None:
        return [Finding(_PERMISSIONS, Severity.UNKNOWN, "The app's token for Graph cannot be read.")]
    names = sorted(needed)
    missing = [name for name in names if name not in granted]
    if not missing:
        return [Finding(_PERMISSIONS, Severity.OK, f"The app's token has {', '.join(names)}.")]
    return [
        Finding(
            _PERMISSIONS, Severity.PROBLEM, f"{name} is missing from the app's token.", _GRANT.format(name)
        )
        for name in missing
    ]


def organizer_access(organizer: str, failure: GraphError | None, remedy: str) -> Finding:
    """Finding about one organizer's application access policy."""
    check = f"access to {organizer}"
    if failure is None:
        return Finding(check, Severity.OK, "Graph lets the app read this organizer's meetings.")
    if isinstance(failure, AccessDenied):
        return Finding(check, Severity.PROBLEM, f"{failure}.", remedy)
    return Finding(check, Severity.UNKNOWN, f"{failure}.", LOOK_AGAIN)


def organizer_denied(
    organizer: str | None, since: datetime | None, remedy: str, retry_at: datetime | None
) -> Finding:
    """Finding: Graph refused an organizer, or all call records."""
    message = f"Graph refused it with 403 at {format_utc(since)}."
    if retry_at:
        message += (
            f" It is asked once more at {format_utc(retry_at)}, because a new access policy takes up to 30 minutes; "
            "until then the outcome is pending."
        )
    return Finding(f"access to {organizer or 'call records'}", Severity.WARNING, message, remedy)


# The command line


def settings(failure: str = "") -> Finding:
    """Finding about the app settings; `failure` is the error about a wrong one."""
    return _access(
        "settings",
        failure,
        "All required settings are present and valid.",
        "Fix this app setting; nothing is archived until then.",
    )


def may_read(check: str) -> Finding:
    """Finding: the operator may read a container or queue."""
    return Finding(check, Severity.OK, "You can read it.")


def may_not_send(code: str) -> Finding:
    """Finding: the operator may not send a message to the queue of tasks."""
    remedy = "Give your account the role Storage Queue Data Message Sender on it; without it, the app is not asked."
    return Finding("queue upkeep", Severity.PROBLEM, f"You cannot send a message to it ({code}).", remedy)


def not_checked() -> Finding:
    """Finding: because of the findings before, the rest was not checked."""
    return Finding("app", Severity.UNKNOWN, "The rest cannot be checked until that is right.")


def app_answered(version: str) -> Finding:
    """Finding: the app handled a task of the queue."""
    return Finding("queue", Severity.OK, f"The app, version {version}, handled a task of the queue.")


def app_silent(seconds: float) -> Finding:
    """Finding: the webhooks answer, but no task of the queue was handled in time."""
    message = f"The app has handled no task of the queue within {seconds:.0f} s."
    if seconds < COLD_START:
        remedy = "An app that was idle takes up to a minute to start: run again with --wait 120."
        return Finding("queue", Severity.UNKNOWN, message, remedy)
    return Finding("queue", Severity.PROBLEM, message, "Check the log for whether do_upkeep runs and fails.")


def app_down(problem: str, seconds: float) -> Finding:
    """Finding: neither the webhooks nor the queue is answered."""
    message = f"The app seems not to run: {problem}, and it has handled no task of the queue within {seconds:.0f} s."
    remedy = "In the portal, check that the function app is started and that it lists its functions."
    return Finding("app", Severity.PROBLEM, message, remedy)
