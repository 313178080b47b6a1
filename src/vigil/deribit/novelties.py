"""Words of the exchange that we do not know: told once each, so that people can teach us."""

from collections.abc import Iterable

import structlog

from vigil.domain.order import Order, StrangeWord

_log = structlog.get_logger(__name__)

# Beyond so many words it is no longer a vocabulary, and telling them helps nobody.
_WORDS_MAX = 1_000


class Novelties:
    """The strange words that were told so far."""

    def __init__(self) -> None:
        self._told: set[StrangeWord] = set()

    def note(self, orders: Iterable[Order]) -> None:
        """Tell of every strange word in these orders that was not told of before."""
        for order in orders:
            for word in order.strange_words:
                if word not in self._told and len(self._told) < _WORDS_MAX:
                    self._told.add(word)
                    _log.error(
                        "word.unknown",
                        field=word.field,
                        word=word.word,
                        order_id=order.order_id,
                        instrument=order.instrument_name,
                        status=order.status.value,
                    )
