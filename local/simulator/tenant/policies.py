"""Application access policies: which applications may act for which organizers.

One policy covers a user at most, and the tenant's own one everybody who has none. Here everything is allowed until
a test says otherwise. Source: Allow applications to access online meetings on behalf of a user.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from local.simulator.odata import GraphError


@dataclass
class Policies:
    """Application access policies.

    `denied`: users without any; `apps`: those of a user's policy; `everyone`: the tenant's (None: all). `deleted`:
    users who are gone, whatever the policies.
    """

    denied: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    apps: dict[str, list[str]] = field(default_factory=dict)
    everyone: list[str] | None = None

    def allow(self, user: str, apps: list[str] | None) -> None:
        """Give a user a policy for these applications; None: the tenant's policy."""
        user = user.lower()
        self.denied.discard(user)
        self.apps.pop(user, None)
        if apps is not None:
            self.apps[user] = [app.lower() for app in apps]

    def allows(self, app_id: str, user: str) -> bool:
        """Whether an application may act for a user."""
        if user in self.denied:
            return False
        covered = self.apps.get(user, self.everyone)
        return covered is None or app_id in covered

    def check(self, app_id: str, user: str) -> None:
        """Refuse an application that may not act for a user. Raises GraphError 403."""
        if not self.allows(app_id, user):
            message = f"No application access policy found for this app {app_id} on the user {user}."
            raise GraphError(403, "Forbidden", message)
