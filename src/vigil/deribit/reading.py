"""What the exchange can be asked without changing anything.

The same questions go over the socket (`client`) and over HTTP (`rest`): both say how a call is
made, and inherit what is asked and how answers are put together. An answer that is partial or does
not add up raises; it is never passed on as if it were all there is.
"""

from vigil.deribit.reading_account import AccountReader
from vigil.deribit.reading_market import MarketReader
from vigil.deribit.reading_orders import OrderReader


class Reader(OrderReader, AccountReader, MarketReader):
    """Typed questions over some way to make a call.

    Every method raises Transient (not asked, or not now), OutcomeUnknown (no answer, or one that
    we do not understand: `wire.Unreadable`) or Rejected (a definite no, with its code).
    """
