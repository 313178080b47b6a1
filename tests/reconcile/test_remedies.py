"""What is said of each drift, and which of them have a remedy of their own."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from rig import BUY, ETHER, LINEAR
from vigil.domain.order import Direction, Order, OrderStatus, OrderType, OwnOrder, Role
from vigil.domain.trade import Trade, TradeStatus
from vigil.reconcile import drift as kinds
from vigil.reconcile.drift import Drift
from vigil.reconcile.exits import ExplainedExit
from vigil.reconcile.remedies import Remedies, describe, is_mended_by_us

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
TOLD: list[tuple[Drift, str]] = [
    (kinds.Vanished(trade=TRADE), "orphan trade t1: not at the exchange, no fill found"),
    (
        kinds.Unexplained(trade=TRADE, missing_amount=Decimal("0.0050")),
        "trade t1: 0.005 missing, no fill found",
    ),
    (kinds.Unprotectable(trade=TRADE), "trade t1: has no stop_loss, so none can be placed"),
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

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        assert (currency, label) == ("USDC", ROW.label)
        return (replace(ORDER, status=OrderStatus.UNKNOWN),)

    async def book_orders(self, orders: tuple[Order, ...]) -> None:
        self.booked.append(orders)


@pytest.mark.parametrize("drift", [kinds.Silent(order=ROW), kinds.Stillborn(order=ROW)])
async def test_an_order_told_in_a_strange_word_is_not_recorded_as_gone(drift: Drift) -> None:
    strange: Any = Strange()
    remedies = Remedies(ledger=strange, books=strange, desk=strange, exchange=strange)
    remedied = await remedies.apply(drift)
    assert not remedied.is_done
    assert len(strange.booked) == 1
