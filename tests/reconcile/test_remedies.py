"""What is said of each drift, and which of them have a remedy of their own."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from rig import BUY, ETHER, LINEAR
from vigil.domain.order import (
    Direction,
    Order,
    OrderStatus,
    OrderType,
    OwnOrder,
    Role,
    StrangeWord,
)
from vigil.domain.trade import Trade, TradeStatus
from vigil.reconcile import drift as kinds
from vigil.reconcile.drift import Drift, describe, is_mended_by_us
from vigil.reconcile.exits import ExplainedExit
from vigil.reconcile.notices import Notices
from vigil.reconcile.remedies import Remedied, Remedies

TRADE = Trade(
    trade_id="t1",
    strategy_name="Razor",
    instrument_name=LINEAR,
    side=BUY,
    entry_order_id="e",
    entry_price=Decimal(95_000),
    amount=Decimal("0.01"),
    open_amount=Decimal("0.01"),
    entry_time_ms=0,
    status=TradeStatus.OPEN,
)
ORDER = Order(
    order_id="USDC-1",
    label="vg-s-1-1",
    instrument_name=LINEAR,
    direction=Direction.SELL,
    order_type=OrderType.LIMIT,
    status=OrderStatus.OPEN,
    amount=Decimal("0.01"),
    filled_amount=Decimal(0),
    creation_timestamp_ms=0,
    last_update_timestamp_ms=0,
)
ROW = OwnOrder(
    label="vg-s-1-1",
    intent_id=1,
    attempt=1,
    strategy_id="s",
    strategy_name="Razor",
    role=Role.STOP,
    trade_id="t1",
    instrument_name=LINEAR,
    direction=Direction.SELL,
    order_type=OrderType.STOP_MARKET,
    amount=Decimal("0.01"),
    created_ms=0,
    valid_until_ms=0,
    order_id="USDC-1",
)

MENDED: list[tuple[Drift, str]] = [
    (
        kinds.Orphan(exit=ExplainedExit(trade=TRADE, shares=())),
        "orphan trade t1: 0 closed by fills of others",
    ),
    (kinds.Naked(trade=TRADE), "trade t1: no stop rests at the exchange"),
    (kinds.Targetless(trade=TRADE), "trade t1: no target rests at the exchange"),
    (
        kinds.Crossed(trade=TRADE, mark_price=Decimal("94000.50")),
        "trade t1: mark 94000.5 is beyond its stop",
    ),
    (
        kinds.Unfilled(trade=TRADE, order=ROW),
        "trade t1: stop vg-s-1-1 has fired and did not fill",
    ),
    (
        kinds.Misfit(trade=TRADE, order=ORDER, role=Role.STOP),
        "trade t1: stop USDC-1 has the wrong size or price",
    ),
    (kinds.Leftover(order=ORDER), "leftover order USDC-1 vg-s-1-1"),
    (kinds.Unrecorded(order=ORDER), "order USDC-1 vg-s-1-1 is not in the ledger"),
    (kinds.Silent(order=ROW), "order USDC-1 vg-s-1-1 rests in the ledger only"),
    (kinds.Stillborn(order=ROW), "linked order vg-s-1-1 never came to life"),
]
ON_A_TRADE = (kinds.Naked, kinds.Targetless, kinds.Crossed, kinds.Unfilled, kinds.Misfit)
TOLD: list[tuple[Drift, str]] = [
    (kinds.Vanished(trade=TRADE), "orphan trade t1: not at the exchange, no fill found"),
    (
        kinds.Unexplained(trade=TRADE, missing_amount=Decimal("0.0050")),
        "trade t1: 0.005 missing, no fill found",
    ),
    (kinds.Unprotectable(trade=TRADE), "trade t1: has no stop_loss, so none can be placed"),
    (
        kinds.Unreadable(
            trade=TRADE, order=replace(ORDER, strange_words=(StrangeWord("order_state", "asleep"),))
        ),
        "trade t1: nobody can tell whether stop USDC-1 protects it, order_state 'asleep'",
    ),
    (
        kinds.ForeignPosition(instrument_name=ETHER, size=Decimal(-2)),
        f"foreign position -2 in {ETHER}",
    ),
    (kinds.ForeignOrder(order=ORDER), f"foreign order USDC-1 in {LINEAR}"),
    (kinds.Unsettled(instrument_name=LINEAR, why="too young"), f"{LINEAR}: too young"),
]


@pytest.mark.parametrize(
    ("drift", "line"), [pytest.param(*row, id=type(row[0]).__name__) for row in MENDED + TOLD]
)
def test_each_drift_is_one_line(drift, line):
    assert describe(drift) == line


@pytest.mark.parametrize(
    ("drift", "is_mended"),
    [
        pytest.param(drift, is_mended, id=type(drift).__name__)
        for rows, is_mended in ((MENDED, True), (TOLD, False))
        for drift, _ in rows
    ],
)
def test_what_belongs_to_others_or_needs_a_witness_has_no_remedy_of_its_own(drift, is_mended):
    assert is_mended_by_us(drift) is is_mended


async def test_people_are_told_once_in_the_log_however_often_it_is_seen(rig):
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    with capture_logs() as lines:
        for _ in range(3):
            await rig.reconcile()
    told = [line for line in lines if line.get("incident") == "foreign_position"]
    assert [line["event"] for line in told] == [f"[Reconciliation] foreign position 1 in {ETHER}"]


async def test_the_lines_people_grep_are_as_promised(rig):
    """DESIGN §6."""
    rig.insert_trade()
    with capture_logs() as lines:
        await rig.reconcile()
        await rig.reconcile()
        rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
        await rig.reconcile()
    events = [line["event"] for line in lines]
    for event in (
        "[Reconciliation] Running database-Deribit sync check",
        "[Reconciliation] Found 1 open trades in database",
        "[Reconciliation] ORPHAN TRADE DETECTED",
        "[Reconciliation] Closed orphan trade",
        "[Reconciliation] All database trades match Deribit positions",
    ):
        assert event in events
    assert any(event.startswith("[Reconciliation] Skipped: private/get_pos") for event in events)
    (found,) = [line for line in lines if line["event"].endswith("ORPHAN TRADE DETECTED")]
    assert (found["trade_id"], found["instrument"]) == ("by_hand", LINEAR)
    (closed,) = [line for line in lines if line["event"].endswith("Closed orphan trade")]
    assert {"trade_id", "exit_price", "pnl", "exit_reason"} <= closed.keys()


class Strange:
    """An exchange that tells of an order in a word that we do not know."""

    def __init__(self) -> None:
        self.booked: list[tuple[Order, ...]] = []
        self.told: list[tuple[str, str]] = []

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        assert (currency, label) == ("USDC", ROW.label)
        return (replace(ORDER, status=OrderStatus.UNKNOWN),)

    async def book_orders(self, orders: tuple[Order, ...]) -> None:
        self.booked.append(orders)

    async def tell(self, kind: str, subject: str, message: str) -> None:
        self.told.append((kind, subject))


@pytest.mark.parametrize("drift", [kinds.Silent(order=ROW), kinds.Stillborn(order=ROW)])
async def test_an_order_told_in_a_strange_word_is_told_of_and_not_recorded_as_gone(
    drift: Drift,
) -> None:
    strange: Any = Strange()
    remedies = Remedies(
        ledger=strange, books=strange, desk=strange, exchange=strange, notices=strange
    )
    remedied = await remedies.apply(drift)
    assert not remedied.is_done
    assert len(strange.booked) == 1
    assert strange.told == [("order_unreadable", ROW.label)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": TradeStatus.CLOSED}, id="closed"),
        pytest.param({"open_amount": Decimal("0.005")}, id="closed in part"),
        pytest.param({"stop_loss": Decimal(94_100)}, id="its stop moved"),
    ],
)
@pytest.mark.parametrize(
    "drift",
    [drift for drift, _ in MENDED if isinstance(drift, ON_A_TRADE)],
    ids=lambda drift: type(drift).__name__,
)
async def test_nothing_is_sent_for_a_trade_that_has_changed_since_the_look(
    drift: Drift, change: dict[str, Any]
) -> None:
    """It could take another strategy's part of the position."""

    class Ledger:
        async def trade(self, trade_id: str) -> Trade:
            assert trade_id == "t1"
            return replace(TRADE, **change)

    nobody: Any = None
    remedies = Remedies(ledger=Ledger(), books=nobody, desk=nobody, exchange=nobody, notices=nobody)
    remedied = await remedies.apply(drift)
    assert remedied == Remedied(line="trade t1 has changed meanwhile")


async def test_an_order_that_rests_though_no_list_shows_it_is_not_done_with(rig):
    """It would be asked after at every pass, and each of them call itself settled."""
    trade = await rig.enter()
    own = (await rig.rows(trade.trade_id))[Role.STOP]
    remedies = Remedies(
        ledger=rig.ledger,
        books=rig.books,
        desk=rig.desk,
        exchange=rig.client,
        notices=Notices(rig.ledger),
    )
    remedied = await remedies.apply(kinds.Silent(order=own))
    assert not remedied.is_done
    assert (await rig.ledger.order(own.label)).status is OrderStatus.UNTRIGGERED
