"""The one error that a person gets to read."""


class QeuError(Exception):
    """What happened, with which value, and what to do next, in one sentence or two.

    Raised wherever a person can act on it; the command line prints it and exits with 1,
    the page shows it beside the control it belongs to.
    """


class UsageError(QeuError):
    """A setting or argument that cannot be meant: the command line exits with 2."""
