"""Application access policies: which applications may act for which organizers.

One policy covers a user at most, and the tenant's own one everybody who has none. Here everything is allowed until
a test says otherwise. Source: Allow applications to access online meetings on behalf of a user.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from local.simulator.odata import GraphError


@dataclass
class Policies:
    """`denied`: users without any policy. `apps`: those of a user's policy. `everyone`: of the tenant's; None: all.

    `deleted`: users who are gone, whatever policies say.
    """

    denied: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    apps: dict[str, list[str]] = field(default_factory=dict)
    everyone: list[str] | None = None

    def allow(self, user: str, apps: list[str] | None) -> None:
        """Gives a user a policy for these applications; None: the policy that everybody has."""
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
        """Raises GraphError 403 where an application may not act for a user."""
        if not self.allows(app_id, user):
            message = f"No application access policy found for this app {app_id} on the user {user}."
            raise GraphError(403, "Forbidden", message)
