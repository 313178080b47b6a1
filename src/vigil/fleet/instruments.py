"""What the exchange says of the instruments that are traded, kept no older than an hour.

Ticks, least amounts and contract sizes change, and instruments end. They are read again when a
session opens, every hour, when an order was refused for a reason that lies in them, and when a
market opens or closes. A change goes to whoever trades the instrument; a stop between two ticks of
the new kind is moved to the tighter one, or else it could never be placed again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog
from msgspec.structs import asdict, replace

from vigil.clock import Clock
from vigil.desk.books import Books
from vigil.domain.instrument import Instrument
from vigil.domain.order import Direction
from vigil.domain.trade import Trade
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient
from vigil.ledger.ledger import Ledger
from vigil.trading.protection import is_tighter

log = structlog.get_logger(__name__)

READ_AGAIN_S = 3600.0

# Orders may be refused at every quote; the exchange is not asked as often.
SPACING_S = 5.0
RETRY_S = 10.0


class InstrumentSource(Protocol):
    """The exchange, as far as its instruments are asked for."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    async def instrument(self, instrument_name: str) -> Instrument:
        """The instrument's description.

        Raises: Rejected, when the exchange does not know it.
        """
        ...


class Instruments:
    """The instruments in use, as last read.

    Args:
        on_change: Told of an instrument that is described in another way than before.
        request_pass: Asks for a reconciliation.
    """

    def __init__(
        self,
        *,
        source: InstrumentSource,
        ledger: Ledger,
        books: Books,
        clock: Clock,
        on_change: Callable[[Instrument], None],
        request_pass: Callable[[str], None],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._books = books
        self._clock = clock
        self._on_change = on_change
        self._request_pass = request_pass
        self._known: dict[str, Instrument] = {}
        self._read_s: dict[str, float] = {}
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def names(self) -> frozenset[str]:
        """The instruments that the exchange is known to have."""
        return frozenset(self._known)

    async def get(self, name: str) -> Instrument:
        """An instrument, as last read.

        Raises: Misconfigured, when the exchange does not know it; Transient, OutcomeUnknown.
        """
        known = self._known.get(name)
        if known is None:
            try:
                known = await self._source.instrument(name)
            except Rejected as refusal:
                raise Misconfigured(
                    f"config.instrument {name!r} is not known at the exchange ({refusal}); "
                    "correct it in the state file"
                ) from refusal
            self._known[name] = known
            self._read_s[name] = self._clock.elapsed_s()
        return known

    def read_again(self, name: str) -> None:
        """Ask for an instrument soon, if it is one in use: it may be another than we think."""
        if name in self._known:
            self._wanted.add(name)
            self._wake.set()

    def read_all_again(self) -> None:
        """Ask for all of them soon."""
        self._wanted.update(self._known)
        self._wake.set()

    async def run(self) -> None:
        """Read what is wanted, and what is old, until cancelled."""
        while True:
            self._wake.clear()
            now_s = self._clock.elapsed_s()
            for name, read_s in self._read_s.items():
                if now_s - read_s >= READ_AGAIN_S:
                    self._wanted.add(name)
            if self._wanted and self._source.is_live:
                await self._read_wanted()
            await self._rest()

    async def _read_wanted(self) -> None:
        now_s = self._clock.elapsed_s()
        for name in sorted(self._wanted):
            if now_s - self._read_s[name] < SPACING_S:
                continue
            try:
                await self._read(name)
            except (Transient, OutcomeUnknown) as error:
                log.warning("instrument.not_read", instrument=name, reason=str(error))
                return

    async def _read(self, name: str) -> None:
        known = self._known[name]
        try:
            found = await self._source.instrument(name)
        except Rejected as refusal:
            log.warning("instrument.gone", instrument=name, reason=str(refusal))
            found = replace(known, is_active=False)
        self._wanted.discard(name)
        self._read_s[name] = self._clock.elapsed_s()
        if found == known:
            return
        self._known[name] = found
        log.warning("instrument.changed", instrument=name, **_changes(known, found))
        self._on_change(found)
        await self._move_stops_to_ticks(found)
        self._request_pass("instrument changed")

    async def _move_stops_to_ticks(self, instrument: Instrument) -> None:
        for trade in (await self._ledger.open_trades()).trades:
            if trade.instrument_name == instrument.instrument_name:
                moved = stop_on_tick(trade, instrument)
                if moved.stop_loss is not None and is_tighter(trade, moved.stop_loss):
                    await self._books.move_stop(trade, moved.stop_loss)

    async def _rest(self) -> None:
        rest_s = READ_AGAIN_S
        if self._wanted:
            rest_s = SPACING_S if self._source.is_live else RETRY_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._wake.wait()


def stop_on_tick(trade: Trade, instrument: Instrument) -> Trade:
    """The trade with its stop on a tick: the same, or the next that protects more."""
    if trade.stop_loss is None:
        return trade
    is_long = trade.side is Direction.BUY
    toward = instrument.round_price_up if is_long else instrument.round_price_down
    return replace(trade, stop_loss=toward(trade.stop_loss))


def _changes(before: Instrument, after: Instrument) -> dict[str, str]:
    known = asdict(before)
    return {
        name: f"{known[name]} → {value}"
        for name, value in asdict(after).items()
        if value != known[name]
    }
