"""What tests of bad roads begin with: a session alone, or a rig that trades."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Self

from pydantic import SecretStr

from rig import BUY, LINEAR, PATIENCE_S, QUICK, Rig, desired, unhurried, wanted
from vigil.clock import Clock, SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.outcome import LateReply, Outcome
from vigil.deribit.session import ApiKey, Deadlines, Trouble
from vigil.domain.events import ExchangeEvent
from vigil.domain.order import Direction, OrderRequest, OrderStatus, OrderType
from vigil.errors import VigilError
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.supervision.restarts import Backoff, ChildSpec
from vigil.supervision.supervisor import ChildEvent, ChildEventKind, Supervisor
from vigil.trading.execution import Author
from vigil.trading.signal import Decision, Enter

_SEEDS = itertools.count(100)  # the same nonce twice would be refused

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")

# A tenth of what ships, or less, in the same proportions.
HASTY = Deadlines(
    dial_s=0.6,
    call_s=0.6,
    silence_s=0.8,
    probe_every_s=0.25,
    answer_s=0.5,
    watch_s=0.02,
    proof_s=30,
)

ENTER = Enter(
    direction=BUY,
    notional_usd=Decimal(500),
    stop_loss_percent=Decimal(1),
    take_profit_percent=Decimal("1.4"),
    reason="told to",
)


def eager(ticker: Any, position: Any) -> Decision:
    """Enters whenever it holds nothing."""
    return Decision(intents=() if position else (ENTER,))


class LoneSession:
    """A session under a supervisor, with nobody behind it who trades.

    Args:
        supervising: The clock that the supervisor waits by.

    Attributes:
        on_event: Called with every event, after it was kept.
    """

    def __init__(
        self,
        url: str,
        *,
        deadlines: Deadlines = HASTY,
        backoff: Backoff = QUICK,
        clock: Clock | None = None,
        supervising: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self.troubles: list[Trouble] = []
        self.late: list[LateReply] = []
        self.on_event: Callable[[ExchangeEvent], None] = lambda _: None
        self.told: list[ChildEvent] = []
        self.client = DeribitClient(
            self.clock,
            call_timeout_s=0.5,
            throttle=unhurried(SystemClock()),
            on_late=self.late.append,
        )
        self.link = DeribitLink(
            self.client,
            url=url,
            key=ApiKey(client_id=CLIENT_ID, secret=SecretStr(CLIENT_SECRET)),
            clock=self.clock,
            dice=random.Random(next(_SEEDS)),
            sink=self._take,
            on_unreadable=self.unheard.append,
            on_trouble=self.troubles.append,
            deadlines=deadlines,
        )
        self.supervisor = Supervisor(
            clock=supervising or self.clock, rng=random.Random(2), on_event=self.told.append
        )
        self._backoff = backoff
        self._supervising: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.supervisor.add_child(
            ChildSpec(name="session", start=self.link.run, backoff=self._backoff)
        )
        self._supervising = asyncio.ensure_future(self.supervisor.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.supervisor.request_stop()
        assert self._supervising is not None
        await self._supervising

    def _take(self, event: ExchangeEvent) -> None:
        self.events.append(event)
        self.on_event(event)

    def ends(self) -> list[str]:
        """Why each life ended."""
        return [one.reason for one in self.told if one.kind is ChildEventKind.RESTARTING]

    def pauses_s(self) -> list[float]:
        """How long was waited after each."""
        return [
            one.delay_s
            for one in self.told
            if one.kind is ChildEventKind.RESTARTING and one.delay_s is not None
        ]

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    async def place(self, label: str, *, valid_ms: int = 1_200, **changes: Any) -> Outcome:
        wishes: dict[str, Any] = {
            "instrument_name": LINEAR,
            "direction": Direction.BUY,
            "order_type": OrderType.MARKET,
            "amount": Decimal("0.001"),
            "label": label,
            "valid_until_ms": self.client.exchange_now_ms() + valid_ms,
        }
        return await self.client.place(OrderRequest(**(wishes | changes)))


async def one_life(link: DeribitLink) -> VigilError:
    """Run a session to its end, and say how it ended."""
    try:
        await link.run()
    except VigilError as error:
        return error
    raise AssertionError("it ends by raising")


async def reconciling(rig: Rig) -> None:
    """Have the reconciler run by itself, and wait until entries are allowed."""
    if any(child.name == "reconciler" for child in rig.supervisor.status()):
        return
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run, backoff=QUICK))
    rig.reconciler.request("start")
    await rig.until(lambda: rig.authority.refusal is None)


async def trading(rig: Rig, decide: Callable[..., Decision] = eager) -> None:
    """A strategy runs, which enters whenever it holds nothing."""
    await reconciling(rig)
    rig.brain.decide = decide
    await rig.fleet.apply(desired(wanted()))
    await rig.fleet.start()


async def until(look: Callable[[], Any]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.005)


async def live(session: LoneSession, epoch: int = 1) -> None:
    """Wait until a session is live."""
    await until(lambda: session.client.is_live and session.client.epoch >= epoch)


async def settled_rows(rig: Rig) -> bool:
    """Whether no order of ours is in doubt or on its way."""
    rows = await rig.ledger.working_orders()
    open_ended = {OrderStatus.PENDING, OrderStatus.IN_DOUBT}
    return not [row for row in rows if row.status in open_ended and row.parent_label is None]


def buys(rig: Rig) -> list[str]:
    """The labels of the buy orders that the exchange was asked for, in order."""
    return [
        request.params["label"]
        for _, request in rig.venue.asked
        if request.method == "private/buy" and "label" in request.params
    ]
