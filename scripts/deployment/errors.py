"""Errors of a deployment, each with a sentence for the user."""


class DeploymentError(Exception):
    """A failed step; the text says which, why, and the remedy if known."""


class NotYet(DeploymentError):
    """A refusal that may pass within minutes: roles not in effect, or a busy Azure."""
