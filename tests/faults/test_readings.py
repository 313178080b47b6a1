"""Readings that lie: empty, cut, stale, hidden, mutated, or of another history.

Every fault is injected by the paper exchange, over a real socket.
"""

import contextlib
from decimal import Decimal

import pytest
from doubt import deafen, enter

from rig import BUY, ETHER, INVERSE, LINEAR, LOT, QUICK, SELL, desired, no_wish, wanted
from vigil.deribit import reading_fills, reading_orders
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.domain.order import OrderStatus
from vigil.errors import VigilError
from vigil.fleet import fleet as fleets
from vigil.reconcile import doubt, drop_copy
from vigil.supervision.restarts import ChildSpec
from vigil.trading import execution
from vigil.trading.signal import Decision, Enter

LABEL = "vg-s-1-1"
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)
POSITIONS = "private/get_positions,private/get_position"
OPEN_ORDERS = "private/get_open_orders*"
TRADES = "private/get_user_trades*"
LABELS = "private/get_order_state_by_label,private/get_order_history*"
LOG = "private/get_transaction_log"
EVERYTHING = "private/get_*"


@pytest.fixture(autouse=True)
def _brisk(rig, monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 250)
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)


def eager(ticker, position):
    """Wants a position whenever there is none."""
    wish = Enter(
        direction=BUY,
        notional_usd=Decimal(50_000),
        stop_loss_percent=Decimal(1),
        take_profit_percent=Decimal("1.4"),
        reason="told to",
    )
    return Decision(intents=() if position else (wish,))


async def start_eager(rig):
    """A running strategy `s` that wants a position in the linear perpetual."""
    rig.brain.decide = eager
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("s")))
    await rig.fleet.start()
    await rig.until(lambda: rig.open_ids())


async def passes(rig, count):
    """Several passes, whatever comes of them."""
    for _ in range(count):
        await rig.until(lambda: rig.client.is_live)
        await rig.reconcile()


# --- E19


@each_case
@pytest.mark.fault("E19")
async def test_an_order_that_no_store_shows_for_a_while_is_not_taken_for_absent(
    rig, agreement, monkeypatch, name, side
):
    """It filled, and neither the recent store nor the archive has it yet."""
    monkeypatch.setattr(doubt, "INDEXING_DELAY_MS", 60_000)
    deafen(rig)
    rig.server.faults.arm("hide-records")
    rig.server.faults.arm("withhold-reply", method="private/buy,private/sell")
    assert isinstance(await enter(rig, name, side), Unknown)
    row = await rig.ledger.order(LABEL)
    await rig.until(lambda: rig.client.exchange_now_ms() > row.valid_until_ms + 30)
    await passes(rig, 4)
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT
    assert rig.server.faults.arms.hits["hide-records"] > 3
    assert rig.books.directions_in_doubt(name) == {side}
    await agreement.holds()
    assert rig.position(name) == side.sign * LOT[name]
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.FILLED
    assert agreement.entries() == [LABEL]


@pytest.mark.fault("E19", "E2")
async def test_an_order_hidden_for_longer_than_any_proof_waits_is_adopted_when_it_shows(
    rig, agreement
):
    """The proof was wrong: what lives counts, is protected, and people are told."""
    deafen(rig)
    rig.server.faults.arm("hide-records")
    rig.server.faults.arm("withhold-reply", method="private/buy")
    assert isinstance(await enter(rig), Unknown)
    await rig.until_reconciled(lambda: rig.sql("SELECT 1 FROM orders WHERE status = 'failed'"))
    await passes(rig, 2)
    assert rig.position(LINEAR) == LOT[LINEAR]
    assert f"foreign_position {LINEAR}" in await rig.incidents(), "it is not hidden from people"
    rig.server.faults.clear()
    await agreement.holds()
    trade = await rig.trade("t1")
    assert (trade.is_open, trade.open_amount) == (True, LOT[LINEAR])
    assert f"absence_disproven {LABEL}" in await rig.incidents()


MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@each_case
@pytest.mark.parametrize(
    "later_ms",
    [
        pytest.param(40 * MINUTE_MS, id="order in no recent store"),
        pytest.param(24 * HOUR_MS + 30_000, id="on its way to the archive"),
        pytest.param(26 * HOUR_MS, id="archived"),
    ],
)
@pytest.mark.fault("E19", "E1")
async def test_what_filled_long_ago_is_found_wherever_the_exchange_keeps_it(
    rig, agreement, name, side, later_ms
):
    """Nobody asked for so long: the exchange itself has let the records go from the recent stores."""
    deafen(rig)
    rig.server.faults.arm("withhold-reply", method="private/buy,private/sell")
    assert isinstance(await enter(rig, name, side), Unknown)
    held = rig.position(name)
    rig.server.deeds.do("skew-clock", offset_ms=later_ms)
    await rig.drop_session()
    rig.connect(rig.new_reconciler())
    for _ in range(6):
        await rig.reconcile()
        assert (await rig.ledger.order(LABEL)).status is not OrderStatus.FAILED
    rig.server.deeds.do("skew-clock", offset_ms=later_ms + 2 * MINUTE_MS)
    await rig.drop_session()
    await agreement.holds()
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.FILLED
    assert (await rig.trade("t1")).signed_open_amount == held == rig.position(name)
    assert agreement.entries() == [LABEL]


# --- E20

LISTS = [
    pytest.param(POSITIONS, id="positions"),
    pytest.param(OPEN_ORDERS, id="open orders"),
    pytest.param(TRADES, id="trades"),
    pytest.param(LOG, id="log"),
    pytest.param(f"{POSITIONS},{TRADES}", id="positions and trades"),
    pytest.param(f"{POSITIONS},{OPEN_ORDERS}", id="positions and open orders"),
    pytest.param(EVERYTHING, id="everything"),
]
each_list = pytest.mark.parametrize("method", LISTS)


@pytest.fixture
def often(rig):
    """The log is read at every pass."""
    rig.connect(rig.new_reconciler(0.0))


@each_list
@pytest.mark.parametrize("transport", ["websocket", "any"])
@pytest.mark.fault("E20")
async def test_lists_that_are_empty_for_a_while_close_nothing_and_open_nothing(
    rig, agreement, often, method, transport
):
    """Two positions, and a strategy that would enter again at once."""
    await start_eager(rig)
    await rig.enter(INVERSE, SELL, strategy_id="other")
    await rig.until(lambda: _protected(rig, 2))
    await rig.reconcile()
    ids, sent = await rig.open_ids(), agreement.entries()
    rig.server.faults.arm("empty-reply", method=method, transport=transport, count=10_000)
    await passes(rig, 6)
    await rig.drop_session()
    await passes(rig, 2)
    assert rig.server.faults.arms.hits["empty-reply"] > 1
    assert await rig.open_ids() == ids
    rig.server.faults.clear()
    await agreement.holds()
    assert await rig.open_ids() == ids
    assert agreement.entries() == sent
    assert {rig.position(LINEAR) > 0, rig.position(INVERSE) < 0} == {True}


def _protected(rig, count):
    return len(rig.resting()) == 2 * count


@each_list
@pytest.mark.parametrize("transport", ["websocket", "any"])
@pytest.mark.fault("E20")
async def test_the_only_position_is_closed_by_no_empty_list_either(
    rig, agreement, method, transport
):
    trade = await rig.enter()
    await rig.reconcile()
    rig.server.faults.arm("empty-reply", method=method, transport=transport, count=10_000)
    await passes(rig, 6)
    assert (await rig.trade(trade.trade_id)).is_open
    rig.server.faults.clear()
    await agreement.holds()
    assert (await rig.trade(trade.trade_id)).is_open
    assert rig.position(LINEAR) == LOT[LINEAR]


@pytest.mark.parametrize("method", [*LISTS, pytest.param(LABELS, id="label search")])
@pytest.mark.fault("E20", "E1")
async def test_an_order_in_doubt_is_not_proven_absent_by_empty_lists(
    rig, agreement, monkeypatch, method
):
    """It was carried out; the lists are empty for less than any store may lag."""
    monkeypatch.setattr(doubt, "INDEXING_DELAY_MS", 400)
    deafen(rig)
    rig.server.faults.arm("withhold-reply", method="private/buy")
    rig.server.faults.arm("empty-reply", method=method, count=10_000)
    assert isinstance(await enter(rig), Unknown)
    row = await rig.ledger.order(LABEL)
    await rig.until(lambda: rig.client.exchange_now_ms() > row.valid_until_ms + 30)
    await passes(rig, 4)
    assert (await rig.ledger.order(LABEL)).status is not OrderStatus.FAILED
    await agreement.holds()
    assert (await rig.trade("t1")).open_amount == LOT[LINEAR]
    assert agreement.entries() == [LABEL]


@each_case
@pytest.mark.fault("E20", "E1")
async def test_fills_that_nobody_shows_for_a_while_cost_a_new_position_no_protection(
    rig, agreement, name, side
):
    """Its order is told as filled, and the executions are not to be had: neither told nor listed."""
    deafen(rig)
    rig.server.faults.arm("withhold-reply", method="private/buy,private/sell")
    rig.server.faults.arm("empty-reply", method=TRADES, count=10_000)
    assert isinstance(await enter(rig, name, side), Unknown)
    protection = {order.order_id for order in rig.resting(name)}
    assert len(protection) == 2
    await passes(rig, 4)
    assert {order.order_id for order in rig.resting(name)} == protection
    await agreement.holds()
    assert {order.order_id for order in rig.resting(name)} == protection
    assert (await rig.trade("t1")).signed_open_amount == side.sign * LOT[name]


# --- E21


@pytest.mark.fault("E21")
@pytest.mark.parametrize("how", ["truncated", "repeated", "no-continuation"])
@pytest.mark.parametrize("transport", ["websocket", "any"])
async def test_pages_that_lie_close_nothing_and_are_read_again(
    rig, agreement, often, monkeypatch, how, transport
):
    """A position closed by hand while nobody listens, and a list of fills that lacks some."""
    kept = await rig.enter(INVERSE, SELL)
    trade = await rig.enter()
    await rig.reconcile()
    deafen(rig)
    for part in ("0.1", "0.15"):
        rig.server.deeds.do("close-by-hand", instrument_name=LINEAR, amount=Decimal(part))
    monkeypatch.setattr(reading_fills, "PAGE_COUNT", 2)
    pages = f"{TRADES},private/get_order_history*,{LOG}"
    rig.server.faults.arm("cut-page", method=pages, how=how, transport=transport, count=10_000)
    await passes(rig, 4)
    assert await rig.open_ids() == {kept.trade_id, trade.trade_id}
    assert rig.server.faults.arms.hits["cut-page"]
    if how == "no-continuation":
        assert {run.outcome for run in rig.runs[-4:]} == {"skipped"}, "no part of it is believed"
    await agreement.holds()
    assert (await rig.trade(trade.trade_id)).open_amount == LOT[LINEAR] - Decimal("0.25")


@pytest.mark.fault("E21", "E2")
async def test_a_search_whose_pages_lack_their_continuation_proves_no_absence(
    rig, agreement, monkeypatch
):
    monkeypatch.setattr(reading_orders, "_PAGE_COUNT", 1)
    await rig.enter()
    assert rig.position(LINEAR), "so that there is a page"
    rig.server.faults.arm("lose-request", method="private/buy")
    assert isinstance(await enter(rig), Unknown)
    (label,) = [row.label for row in await rig.ledger.unproven_orders() if not row.parent_label]
    row = await rig.ledger.order(label)
    await rig.until(lambda: rig.client.exchange_now_ms() > row.valid_until_ms + 30)
    pages = "private/get_order_history*"
    rig.server.faults.arm("cut-page", method=pages, how="no-continuation", count=10_000)
    await passes(rig, 4)
    assert {run.outcome for run in rig.runs[-4:]} == {"skipped"}
    assert (await rig.ledger.order(label)).status is OrderStatus.IN_DOUBT
    await agreement.holds()
    assert (await rig.ledger.order(label)).status is OrderStatus.FAILED


# --- E34

MUTATIONS = ["unknown-enum", "new-field", "missing-field", "null-field"]
each_mutation = pytest.mark.parametrize("change", MUTATIONS)


@each_mutation
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.fault("E34")
async def test_strange_notifications_are_read_as_far_as_they_can_be(
    rig, agreement, monkeypatch, change, seed
):
    """Orders, fills, positions and tickers, on any field, through a whole life of trades."""
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run, backoff=QUICK))
    rig.server.faults.arm(
        "mutate-notification",
        channel="user.*,ticker.*",
        change=change,
        probability="0.6",
        seed=seed,
        count=10_000,
    )
    await start_eager(rig)
    for _ in range(2):
        (trade_id,) = await rig.until(lambda: rig.open_ids())
        await rig.until(lambda: _protected(rig, 1))
        trade = await rig.trade(trade_id)
        rig.price(LINEAR, trade.stop_loss - 300)
        await rig.closed(trade_id)
        await rig.until(lambda: rig.open_ids())
    assert rig.server.faults.arms.hits["mutate-notification"] > 10
    rig.brain.decide = no_wish
    # An order that does not say which trigger spawned it is taken for a second one of its label.
    stops = rig.sql("SELECT label FROM orders WHERE role = 'stop'")
    is_kept_back = change in ("missing-field", "null-field")
    await agreement.holds(suspected=frozenset(one for (one,) in stops if is_kept_back))


@each_mutation
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.fault("E34")
async def test_strange_answers_end_nothing_and_crash_nothing(rig, agreement, change, seed):
    """Every reading and every reply to an order, on any field: what is needed is unknown then."""
    await rig.reconcile()
    rig.server.faults.arm(
        "mutate-reply",
        method="private/get_*,private/buy,private/sell,private/edit,private/cancel,public/ticker",
        change=change,
        probability="0.4",
        seed=seed,
        count=10_000,
    )
    trade = None
    for _ in range(4):
        with contextlib.suppress(VigilError):
            outcome = await enter(rig) if trade is None else None
            assert outcome is None or isinstance(outcome, Confirmed | Unknown)
        await passes(rig, 1)
        trade = next(iter((await rig.ledger.open_trades()).trades), None)
        if trade is not None:
            await rig.desk.tighten_stop(trade, trade.stop_loss + 10)
            await passes(rig, 1)
    assert rig.server.faults.arms.hits["mutate-reply"] > 5
    await agreement.holds()
    assert rig.sql("SELECT count(*) FROM trades WHERE status = 'closed'") == [(0,)]


@pytest.mark.parametrize("change", ["missing-field", "null-field"])
@pytest.mark.parametrize("field", ["order_id", "amount", "direction", "instrument_name"])
@pytest.mark.fault("E34")
async def test_an_answer_to_an_order_that_lacks_what_is_needed_is_none(
    rig, agreement, field, change
):
    """It was carried out, as the exchange would show whoever asks."""
    deafen(rig)
    rig.server.faults.arm("mutate-reply", method="private/buy", change=change, field=field)
    assert isinstance(await enter(rig), Unknown)
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT
    assert rig.server.faults.arms.hits["mutate-reply"]
    await agreement.holds()
    assert (await rig.trade("t1")).open_amount == LOT[LINEAR] == rig.position(LINEAR)
    assert agreement.entries() == [LABEL]


@pytest.mark.parametrize("change", ["missing-field", "null-field"])
@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("private/get_positions", "size"),
        ("private/get_positions", "instrument_name"),
        ("private/get_positions", "mark_price"),
        ("private/get_open_orders", "amount"),
        ("private/get_open_orders", "order_id"),
        ("private/get_user_trades*", "amount"),
        ("private/get_user_trades*", "trade_id"),
    ],
)
@pytest.mark.fault("E34")
async def test_a_reading_that_lacks_what_is_needed_is_none(rig, agreement, method, field, change):
    trade = await rig.enter()
    await rig.reconcile()
    acts = rig.venue.acts()
    fields = {"change": change, "field": field, "count": 10_000}
    rig.server.faults.arm("mutate-reply", method=method, **fields)
    await passes(rig, 2)
    assert rig.server.faults.arms.hits["mutate-reply"]
    assert {run.outcome for run in rig.runs[-2:]} == {"skipped"}
    assert await rig.trade(trade.trade_id) == trade
    await agreement.holds()
    assert rig.venue.acts() == acts


# --- E37


@each_case
@pytest.mark.parametrize("to", ["empty", "remembered"])
@pytest.mark.fault("E37")
async def test_an_exchange_whose_history_went_back_halts_entries_and_closes_nothing(
    rig, agreement, often, name, side, to
):
    held = await rig.enter(name, side)
    await rig.reconcile()
    rig.server.deeds.do("remember-exchange")
    other = await rig.enter(ETHER, strategy_id="other")
    await rig.reconcile()
    assert rig.authority.refusal is None
    working = {row.label for row in await rig.ledger.working_orders()}
    sent = len(rig.venue.acts())
    rig.server.deeds.do("reset-exchange", to=to)
    await rig.until(lambda: rig.client.epoch == 2)
    await passes(rig, 6)
    assert await rig.open_ids() == {held.trade_id, other.trade_id}
    assert {row.label for row in await rig.ledger.working_orders()} == working
    assert len(rig.venue.acts()) == sent, "nothing is sent to an account that is another"
    assert rig.authority.refusal is not None
    kinds = {one.kind for one in (await rig.incidents()).values()}
    assert kinds & {"history_regressed", "fills_lost"}
    if to == "remembered":
        assert rig.position(name) == held.signed_open_amount
    assert rig.server.faults.arms.hits["reset-exchange"] == 1
