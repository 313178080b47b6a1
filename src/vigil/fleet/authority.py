"""Whether anything may be opened now, and if not, why.

Closing, cancelling and protecting never ask. Each reason has one owner that sets and clears it.
"""


class Authority:
    """The reasons against opening positions; trading is allowed when there is none."""

    def __init__(self) -> None:
        self._refusals: dict[str, str] = {"start": "not reconciled since the start"}

    @property
    def refusal(self) -> str | None:
        """The first standing reason, None when trading is allowed."""
        return next(iter(self._refusals.values()), None)

    def refuse(self, key: str, reason: str) -> None:
        """Stop new entries for `reason` until `allow(key)`."""
        self._refusals[key] = reason

    def allow(self, key: str) -> None:
        """Withdraw the reason `key`."""
        self._refusals.pop(key, None)
