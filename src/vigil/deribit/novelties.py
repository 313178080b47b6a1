"""Words of the exchange that we do not know: told once each, so that people can teach us."""

from collections.abc import Iterable

import structlog

from vigil.deribit.classify import is_listed
from vigil.deribit.jsonrpc import ErrorReply
from vigil.domain.order import Order, StrangeWord

_log = structlog.get_logger(__name__)

# Beyond so many words it is no longer a vocabulary, and telling them helps nobody.
_WORDS_MAX = 1_000


class Novelties:
    """The strange words and errors that were told so far."""

    def __init__(self) -> None:
        self._told: set[StrangeWord] = set()
        self._told_errors: set[tuple[int, str]] = set()

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

    def note_error(self, method: str, error: ErrorReply) -> None:
        """Tell of an error whose code and message are not those of the table, the first time."""
        pair = (error.code, error.message)
        if (
            not is_listed(*pair)
            and pair not in self._told_errors
            and len(self._told_errors) < _WORDS_MAX
        ):
            self._told_errors.add(pair)
            _log.warning("error.unlisted", method=method, code=error.code, message=error.message)
