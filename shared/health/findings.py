"""Findings of single checks: a sentence with its severity and remedy.

Health, `status`, the app's self-check and `doctor` get the same finding from the same function here. Sentences about
queues, days and reconciliation are in `diagnosis`. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..errors import AccessDenied, GraphError
from ..subscriptions.status import DELIVERING, Maintenance, SubscriptionStatus, SubscriptionView
from ..times import format_utc

ASSIGN_IDENTITY = "Assign the managed identity to the app, and set AZURE_CLIENT_ID to its client id."
LOOK_AGAIN = "Try again in some minutes."
_GRANT = (
    "Grant the application permission {} to the app's identity, with infra/graph.bicep or "
    "infra/grant-permissions.sh. Its token keeps its old permissions for up to a day."
)
_SUBSCRIPTIONS, _ENDPOINT, _PERMISSIONS = "subscriptions", "endpoint", "graph permissions"


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
        return "maintain_subscriptions has not run yet: MAINTAIN_SCHEDULE says when it runs."
    if run.validation and view.status not in DELIVERING:
        return closed_to_graph(run.validation).text
    if run.problems:
        return last_maintenance(run).message
    return (
        f"maintain_subscriptions last ran at {format_utc(run.at)}. Run it now with "
        "`attendance subscriptions renew`; if that does not help, its log says why."
    )


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


def closed_to_graph(problem: str) -> Finding:
    """Finding: Graph's validation handshake failed at the last request."""
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


def organizer_denied(organizer: str | None, remedy: str) -> Finding:
    """Finding: Graph refused an organizer, or all call records, some time ago."""
    return Finding(f"access to {organizer or 'call records'}", Severity.WARNING, "Graph refused it.", remedy)


# The command line


def settings(failure: str = "") -> Finding:
    """Finding about the settings that the command line read."""
    return _access(
        "settings",
        failure,
        "All required settings are present and valid.",
        "docs/settings.md has the table of settings.",
    )


def may_read(check: str) -> Finding:
    """Finding: the operator may read a container or queue."""
    return Finding(check, Severity.OK, "You can read it.")


def not_allowed(check: str, code: str, role: str, *, refused: bool) -> Finding:
    """Finding: a container or queue returns an error to the operator."""
    remedy = (
        f"Give your account the role {role} there, and check that the storage account's network rules allow you."
        if refused
        else "Deploy again, or check that the settings name the right account."
    )
    return Finding(check, Severity.PROBLEM, f"You have no access to it ({code}).", remedy)


def not_reached(check: str, code: str) -> Finding:
    """Finding: a container or queue does not answer."""
    remedy = "Sign in with `az login`, and check that the settings name the right account."
    return Finding(check, Severity.PROBLEM, f"It cannot be reached ({code}).", remedy)


def app_not_asked() -> Finding:
    """Finding: the operator lacks a role that asking the app needs."""
    return Finding("app", Severity.UNKNOWN, "Not checked: asking the app needs those roles.")


def setting_first() -> Finding:
    """Finding: a setting is wrong, so nothing else can be checked."""
    return Finding("app", Severity.UNKNOWN, "Nothing else can be checked until that setting is right.")


def app_answered(version: str) -> Finding:
    """Finding: the app handled a task of the queue."""
    return Finding("queue", Severity.OK, f"The app, version {version}, handled a task of the queue.")


def app_silent(seconds: float) -> Finding:
    """Finding: the app handled no task of the queue in time."""
    remedy = "Check the log for whether do_upkeep runs and whether the app has started."
    return Finding("queue", Severity.PROBLEM, f"The app has not answered within {seconds:.0f} s.", remedy)
