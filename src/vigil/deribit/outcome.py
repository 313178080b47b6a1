"""What became of an order, edit or cancel: the three answers, and nothing between them.

Only `Refused` may end an intent. `Unknown` is neither failed nor empty: the request may rest at
the exchange, and is settled by asking for its label.
"""

from msgspec import Struct

from vigil.domain.order import Fill, Order

# Not an exchange code: the request never left this machine, so nothing can have come of it.
NOT_SENT = 0


class Confirmed(Struct, frozen=True, kw_only=True):
    """The exchange did it, and this is the order now.

    Args:
        fills: Executions that came with the reply; others may follow as events.
    """

    order: Order
    fills: tuple[Fill, ...] = ()


class Refused(Struct, frozen=True, kw_only=True):
    """The exchange did not do it and never will; or nothing was sent (`NOT_SENT`).

    Args:
        code: The exchange's error code.
        message: Its words, with the reason it gave.
    """

    code: int
    message: str


class Unknown(Struct, frozen=True, kw_only=True):
    """Sent, and not proven either way."""

    reason: str


Outcome = Confirmed | Refused | Unknown
