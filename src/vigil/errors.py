"""Errors in families, named by what the caller may do next.

Foreign exceptions are translated into one of these once, at the edge where they appear.
"""


class VigilError(Exception):
    """Anything Vigil raises on purpose."""


class Transient(VigilError):
    """Nothing happened; the same call may work after a delay."""


class Rejected(VigilError):
    """The exchange said no; unchanged, it stays no."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OutcomeUnknown(VigilError):
    """Sent and unanswered: ask the exchange before acting again."""


class Misconfigured(VigilError):
    """Only a person can help; a restart will not.

    The message names the field or path and the fix.
    """
