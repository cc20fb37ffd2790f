"""Errors of a deployment, each with a sentence for the person who deploys."""


class DeploymentError(Exception):
    """A step failed; the text says which, why, and where known the cure."""


class NotYet(DeploymentError):
    """Azure refused something that it may accept within minutes: roles are still spreading, or it is busy."""
