"""Findings: sentences about what can be examined by itself, each with its severity and remedy.

Health, `status`, the app's examination of itself and `doctor` make the same finding by the same function here; what
health reads of queues, days and the sweep is worded in `diagnosis`. Nothing here reads or writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..errors import AccessDenied, GraphError
from ..subscriptions.status import DELIVERING, Maintenance, SubscriptionStatus, SubscriptionView
from ..times import format_utc

ASSIGN_IDENTITY = "Assign the managed identity to the app, and let AZURE_CLIENT_ID name it."
LOOK_AGAIN = "Look again in some minutes."
_GRANT = (
    "Grant the application permission {} to the app's identity, with infra/graph.bicep or "
    "infra/grant-permissions.sh. Its token keeps the permissions that it was made with, for up to a day."
)
_SUBSCRIPTIONS, _ENDPOINT, _PERMISSIONS = "subscriptions", "endpoint", "graph permissions"


class Severity(StrEnum):
    """How a finding is. `unknown`: it could not be examined."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing that was examined, how it is, a sentence, and the remedy where it is not well."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """The sentence and the remedy."""
        return f"{self.message} {self.remedy}".rstrip()


def finding_json(finding: Finding) -> dict[str, str]:
    """A finding as JSON has it."""
    return {
        "check": finding.check,
        "state": finding.severity,
        "says": finding.message,
        "cure": finding.remedy,
    }


# Subscriptions


def is_accepted_by_graph(views: Iterable[SubscriptionView], run: Maintenance | None) -> bool:
    """Whether Graph delivers to the webhooks, as far as is known."""
    return not (run and run.validation) and any(each.status in DELIVERING for each in views)


def unreadable_list(failure: GraphError, graph_root: str) -> Finding:
    """Graph's list of subscriptions cannot be read."""
    if isinstance(failure, AccessDenied):
        remedy = _GRANT.format("CallRecords.Read.All")
    elif failure.operation == "get a token":
        remedy = ASSIGN_IDENTITY
    else:
        remedy = f"{LOOK_AGAIN} If it stays, see whether the app reaches {graph_root}."
    message = f"The list of subscriptions cannot be read ({failure})."
    return Finding(_SUBSCRIPTIONS, Severity.PROBLEM, message, remedy)


def subscription(view: SubscriptionView, run: Maintenance | None) -> Finding:
    """One subscription after the last run of maintenance. One that is not desired has an id, whatever its status."""
    severity, subject = Severity.PROBLEM, f"The subscription to {view.resource}"
    match view.status:
        case SubscriptionStatus.ACTIVE:
            message = f"{subject} is active until {format_utc(view.expires)}."
            return Finding(_SUBSCRIPTIONS, Severity.OK, message)
        case SubscriptionStatus.UNWANTED | SubscriptionStatus.ELSEWHERE if view.id:
            severity, fault = Severity.WARNING, "is one that the app did not ask for"
        case SubscriptionStatus.RENEWAL_OVERDUE:
            severity = Severity.WARNING
            fault = f"should have been renewed; it expires at {format_utc(view.expires)}"
        case SubscriptionStatus.EXPIRED:
            fault = f"expired at {format_utc(view.expires)}, so Graph announces no meeting"
        case SubscriptionStatus.NOT_ACCEPTED:
            fault = "carries a clientState or a lifecycle address that the app does not take"
        case _:
            fault = "is missing, so Graph announces no meeting"
    return Finding(_SUBSCRIPTIONS, severity, f"{subject} {fault}.", _subscription_remedy(view, run))


def _subscription_remedy(view: SubscriptionView, run: Maintenance | None) -> str:
    if view.status in (SubscriptionStatus.UNWANTED, SubscriptionStatus.ELSEWHERE):
        if view.id:
            return f"If nothing else uses it: attendance subscriptions delete {view.id}"
        return (
            "The app's identity has one at another address, which is in the way: delete that one, or give this "
            "deployment an identity of its own."
        )
    if run is None:
        return "No run of maintain_subscriptions is known yet: MAINTAIN_SCHEDULE says when it runs."
    if run.validation and view.status not in DELIVERING:
        return closed_to_graph(run.validation).text
    if run.problems:
        return last_maintenance(run).message
    return (
        f"maintain_subscriptions last ran at {format_utc(run.at)}. Have it run now with "
        "`attendance subscriptions renew`; if that does not help, its log says why."
    )


def last_maintenance(run: Maintenance) -> Finding:
    """The last run of maintenance had problems."""
    message = (
        f"maintain_subscriptions last ran at {format_utc(run.at)} and had problems: {' '.join(run.problems)}"
    )
    return Finding(_SUBSCRIPTIONS, Severity.WARNING, message)


# The webhooks' address


def endpoint_open(caller: str) -> Finding:
    """Both webhooks answer the handshake of a caller."""
    return Finding(_ENDPOINT, Severity.OK, f"Both webhooks answer the handshake of {caller}.")


def closed_to(caller: str, problem: str, *, accepted: bool) -> Finding:
    """The webhooks do not answer the app, or an operator's machine; `accepted`: Graph reaches them."""
    remedy = (
        "Graph has accepted their address, so nothing is lost: an access restriction or a private DNS keeps out "
        "this caller alone."
        if accepted
        else "See whether the app runs, and whether NOTIFICATION_BASE_URL is its public address. If an access "
        "restriction or a private DNS keeps out this caller alone, Graph's answer decides."
    )
    severity = Severity.WARNING if accepted else Severity.PROBLEM
    return Finding(_ENDPOINT, severity, f"The webhooks are closed to {caller}: {problem}.", remedy)


def closed_to_graph(problem: str) -> Finding:
    """Graph's validation handshake failed when the app last asked for a subscription."""
    return Finding(
        _ENDPOINT,
        Severity.PROBLEM,
        f"The webhooks are closed to Graph, whose validation handshake failed: {problem}.",
        "Let Microsoft Graph's change notification addresses through every access restriction and firewall in front "
        "of NOTIFICATION_BASE_URL, and have the public DNS lead its name to the app.",
    )


def endpoint_unknown() -> Finding:
    """The command line does not know the webhooks' address."""
    message = "NOTIFICATION_BASE_URL is not set here; the app tries the address itself."
    return Finding(_ENDPOINT, Severity.UNKNOWN, message)


# The app's own rights


def failure_text(failure: Exception) -> str:
    """The text of an error that has none for people: its code, or its type."""
    code = getattr(failure, "error_code", None)
    return f"It failed ({getattr(code, 'value', code) or type(failure).__name__})."


def app_writes(failure: str = "") -> Finding:
    """The app's access to its container; `failure` is why it has none."""
    return _access(
        "storage",
        failure,
        "The app writes to its container.",
        "Make the app's identity Storage Blob Data Contributor on the container, or deploy again.",
    )


def encryption_key(failure: str = "") -> Finding:
    """The app's access to the key for call events; `failure` is why it has none."""
    return _access(
        "encryption key",
        failure,
        "There is a key for call events.",
        "See whether ENCRYPTION_KEY_ID names a key, and make the app's identity Key Vault Crypto User on it.",
    )


def _access(check: str, failure: str, well: str, remedy: str) -> Finding:
    return Finding(check, Severity.PROBLEM, failure, remedy) if failure else Finding(check, Severity.OK, well)


def no_token(failure: GraphError) -> Finding:
    """The app gets no token for Graph."""
    return Finding(_PERMISSIONS, Severity.PROBLEM, f"{failure}.", ASSIGN_IDENTITY)


def permissions(needed: Iterable[str], granted: Sequence[object] | None) -> list[Finding]:
    """The permissions that the app's token names; None for a token that cannot be read."""
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
    """The application access policy of one organizer: granted, refused with its remedy, or not known."""
    check = f"access to {organizer}"
    if failure is None:
        return Finding(check, Severity.OK, "Graph lets the app read this organizer's meetings.")
    if isinstance(failure, AccessDenied):
        return Finding(check, Severity.PROBLEM, f"{failure}.", remedy)
    return Finding(check, Severity.UNKNOWN, f"{failure}.", LOOK_AGAIN)


def organizer_denied(organizer: str | None, remedy: str) -> Finding:
    """Graph refused an organizer's reports, or the call records of the whole tenant, some time ago."""
    return Finding(f"access to {organizer or 'call records'}", Severity.WARNING, "Graph refused it.", remedy)


# The command line


def settings(failure: str = "") -> Finding:
    """The settings that the command line read."""
    return _access(
        "settings",
        failure,
        "All are there and of the right form.",
        "README.md has the table of settings.",
    )


def may_read(check: str) -> Finding:
    """The operator may read a container or queue."""
    return Finding(check, Severity.OK, "You may read it.")


def not_allowed(check: str, code: str, role: str, *, refused: bool) -> Finding:
    """A container or queue answers an operator with an error."""
    remedy = (
        f"Give your account the role {role} there, and see whether the account's network rules let you in."
        if refused
        else "Deploy again, or see whether the settings name the right account."
    )
    return Finding(check, Severity.PROBLEM, f"It does not let you in ({code}).", remedy)


def not_reached(check: str, code: str) -> Finding:
    """A container or queue does not answer."""
    remedy = "Sign in with `az login`, and see whether the settings name the right account."
    return Finding(check, Severity.PROBLEM, f"It cannot be reached ({code}).", remedy)


def app_not_asked() -> Finding:
    """The operator lacks a role without which the app cannot be asked."""
    return Finding("app", Severity.UNKNOWN, "Without those roles the app cannot be asked.")


def setting_first() -> Finding:
    """A setting is wrong, so nothing else can be examined."""
    return Finding("app", Severity.UNKNOWN, "Nothing else can be examined before that setting is right.")


def app_answered(version: str) -> Finding:
    """The app did a task of the queue."""
    return Finding("queue", Severity.OK, f"The app, version {version}, took a task and answered.")


def app_silent(seconds: float) -> Finding:
    """The app did no task of the queue in time."""
    remedy = "See in the log whether do_upkeep runs, and whether the app has started at all."
    return Finding("queue", Severity.PROBLEM, f"The app has not answered within {seconds:.0f} s.", remedy)
