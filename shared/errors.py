"""Every error raised on purpose, named for what the caller can do about it.

    AttendanceError
    ├── SettingError          an app setting is missing or wrong: the operator fixes it
    │   └── ErasureKeyError   persons were erased with another key: the worker writes nothing until it is back
    ├── WrongUsage            a command was given what makes no sense: its user corrects it
    ├── SignInNeeded          nobody is signed in at the command line: the text says how to sign in
    ├── NotANotification      a request body that is not a notification collection: answer 400
    ├── NotOurMessage         a queue message or record that this version cannot read
    ├── NotGenuine            a notification that Microsoft Graph did not send: refused
    │   └── UnknownKey        its signing key is not published, or not yet: checked again some minutes later
    ├── Undecipherable        a notification that cannot be decrypted: refused
    ├── WatchError            a meeting that cannot be watched as it was asked for
    ├── Contention            other writers of a blob won every race: the message comes back
    ├── NotAsIndexed          a report is not as the index of its day says: the next refresh makes a new index
    ├── DeltaRefused          somebody else changed the log of a table: an operator makes it anew
    ├── StorageRefused        storage lets nobody change a blob: a policy, a hold or its tier is in the way
    ├── SubscriptionError     subscriptions are not as they should be: the next run tries again
    └── GraphError            Microsoft Graph did not give what was asked for
        ├── Throttled         wait `retry_after` seconds, then ask again
        ├── Unavailable       network, 5xx, token or a broken body: ask again later
        ├── AccessDenied      403: a permission or an access policy is missing
        ├── NotFound          404, or an empty result: does not exist (yet)
        ├── Undecided         a call record that may get its join URL later
        ├── Conflict          409: it exists already
        └── Refused           any other 4xx: a retry will not help
            ├── ValidationFailed  Graph's validation handshake failed: let Graph reach the webhook
            └── Unsupported       Graph has no reports of such a meeting

A message never holds a token, a clientState, an e-mail address or a name. Graph's own message text can, so
only its status, code and request-id are kept.
"""

from __future__ import annotations

import traceback


class AttendanceError(Exception):
    """Base class of all errors; its text is one sentence for people."""


class SettingError(AttendanceError):
    """An app setting is missing or wrong.

    The text names it, and a wrong value that cannot be a secret.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"App setting {name} {problem}.")
        self.name = name


class ErasureKeyError(SettingError):
    """ERASURE_KEY is missing, or is not the key with which persons were erased."""

    def __init__(self, problem: str) -> None:
        super().__init__("ERASURE_KEY", problem)


class WrongUsage(AttendanceError):
    """An argument of a command, or a combination of its options, makes no sense."""


class SignInNeeded(AttendanceError):
    """Nobody is signed in at the command line; the text is what to do."""


class NotAsIndexed(AttendanceError):
    """The report in the blob `path` is gone, or is not as the index of its day says."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not as its day's index says.")
        self.path = path


class DeltaRefused(AttendanceError):
    """A Delta log was changed by somebody else.

    In a way that this version does not know.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"The Delta log cannot be continued: {problem}.")


class NotANotification(AttendanceError):
    """The body is not a change-notification collection."""


class NotOurMessage(AttendanceError):
    """A queue message or stored record that this version cannot parse.

    The text names the field and quotes nothing.
    """


class NotGenuine(AttendanceError):
    """Validation tokens that do not prove that Graph sent a notification.

    The text says why and quotes none of them.
    """


class UnknownKey(NotGenuine):
    """A token's signing key is not among the published ones as they were last fetched."""


class Undecipherable(AttendanceError):
    """Encrypted content that Graph would not send; the text quotes nothing of it."""


class WatchError(AttendanceError):
    """A meeting that cannot be watched.

    The text says what is wrong with its join URL, organizer or time.
    """


class Contention(AttendanceError):
    """Other writers of a blob won every race."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"Other writers changed {subject} before every attempt to write it.")


class StorageRefused(AttendanceError):
    """A blob that cannot be written or deleted now.

    Because of an immutability policy, a legal hold, the archive tier or a pending copy.
    """

    def __init__(self, name: str, code: object) -> None:
        super().__init__(
            f"Storage refuses to change {name} ({getattr(code, 'value', code) or 'no error code'})."
        )


class SubscriptionError(AttendanceError):
    """At least one needed subscription is missing or cannot be renewed."""


class GraphError(AttendanceError):
    """A request to Microsoft Graph failed.

    `operation` names the request, `status` is the HTTP status (None: no answer), `code` is Graph's error code. `hint`
    is the number that some services put before their message ("3004"), or the result of Graph's validation handshake.
    `request_id` is for Microsoft's support.
    """

    def __init__(
        self,
        operation: str,
        problem: str,
        *,
        status: int | None = None,
        code: str = "",
        hint: str = "",
        request_id: str = "",
    ) -> None:
        details = [
            text
            for text in (
                f"status {status}" if status else "",
                code and f"code {code}",
                hint and f"hint {hint}",
                request_id and f"request-id {request_id}",
            )
            if text
        ]
        super().__init__(f"{operation}: {problem}" + (f" ({', '.join(details)})" if details else ""))
        self.operation = operation
        self.status = status
        self.code = code
        self.hint = hint
        self.request_id = request_id


class Throttled(GraphError):
    """Graph asks to wait longer than a worker should; `retry_after` is in seconds."""

    retry_after: float = 0.0


class Unavailable(GraphError):
    """No usable answer: network, 5xx, no token, broken JSON, or an untrusted link."""


class AccessDenied(GraphError):
    """403: permission, application access policy or quota.

    `organizer_id` is who is refused, where that is not the organizer whom the call record names.
    """

    organizer_id: str | None = None


class NotFound(GraphError):
    """404, or a filter without a result."""


class Undecided(GraphError):
    """A call record that is unclear; a later version may be of a meeting."""


class Conflict(GraphError):
    """409: the resource exists already."""


class Refused(GraphError):
    """Any other 4xx."""


class ValidationFailed(Refused):
    """400 for a subscription whose address failed Graph's validation handshake."""


class Unsupported(Refused):
    """A meeting without reports in Graph, such as a personal account's; not requested."""


def retry_after(failure: Exception) -> float:
    """Return the seconds that Graph asks to wait, or 0."""
    return failure.retry_after if isinstance(failure, Throttled) else 0.0


def describe(failure: Exception) -> str:
    """Return the sentence of an error of ours; of any other the type and place.

    The text of another one may quote what Graph sent.
    """
    if isinstance(failure, AttendanceError):
        return str(failure)
    places = traceback.extract_tb(failure.__traceback__)
    place = f" in {places[-1].name}, line {places[-1].lineno}" if places else ""
    return f"{type(failure).__name__}{place}"
