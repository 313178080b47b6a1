"""Doubts settled: by life whenever it shows, by absence only with all of its proof. FAULTS §4."""

from decimal import Decimal

import pytest

from rig import BUY, HTTP, INVERSE, LINEAR, LOT, SELL, SOCKET, by_status
from vigil.deribit.outcome import Unknown
from vigil.domain.account_log import LogEntry
from vigil.domain.order import LabelFindings, OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.ledger.account_log import Searched
from vigil.reconcile import doubt, doubts, drop_copy
from vigil.trading import execution
from vigil.trading.execution import Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
LABEL = "vg-s-1-1"
HISTORY = "private/get_order_history_by_currency"
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 300)
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)


@pytest.fixture
async def lost(rig):
    """An entry in doubt that never reached the exchange."""
    rig.server.faults.lose_requests("private/buy")
    approved = await rig.approved()
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.2
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    rig.client._call_timeout_s = patience_s
    assert isinstance(outcome, Unknown)
    entry = await rig.ledger.order(LABEL)
    await rig.until(lambda: rig.client.exchange_now_ms() > entry.valid_until_ms + 50)
    return entry


async def status(rig):
    return (await rig.ledger.order(LABEL)).status


async def far_apart(rig, count):
    """Passes, each later than the recent store may lag: nearer ones would prove nothing anyway."""
    for _ in range(count):
        await rig.reconcile()
        seen_ms = rig.client.exchange_now_ms()
        wait_ms = doubt.INDEXING_DELAY_MS + 5
        await rig.until(lambda: rig.client.exchange_now_ms() > seen_ms + wait_ms)  # noqa: B023


async def until_failed(rig):
    while await status(rig) is not OrderStatus.FAILED:
        await rig.reconcile()


async def age(rig, minutes):
    """The process was down for so long that the entry is that old. Its log was read since then."""
    ms = minutes * MINUTE_MS
    rig.sql(
        "UPDATE orders SET valid_until_ms = valid_until_ms - ?, created_ms = created_ms - ?", ms, ms
    )
    rig.connect(rig.new_reconciler())


@pytest.mark.fault("N4", "E19")
async def test_an_entry_found_after_it_was_proven_absent_is_adopted_and_protected(rig, lost):
    """The road was longer than anybody thought. FAULTS E19, N4."""
    await until_failed(rig)
    assert set(by_status(await rig.rows("t1")).values()) == {OrderStatus.FAILED}
    await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market", label=LABEL
    )
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    assert trade.open_amount == LOT[LINEAR]
    assert await status(rig) is OrderStatus.FILLED
    assert (await rig.incidents())[f"absence_disproven {LABEL}"].severity == "error"
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()


async def test_an_entry_found_late_by_a_question_is_adopted_as_well(rig, lost):
    """The stream says nothing of it: the pass that asks for executions finds it."""
    await until_failed(rig)
    rig.account.put = lambda event: None
    await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market", label=LABEL
    )
    for _ in range(3):
        await rig.reconcile()
    assert (await rig.trade("t1")).open_amount == LOT[LINEAR]
    await rig.assert_agreement()


@pytest.mark.parametrize("method", [HISTORY, "private/get_order_state_by_label"])
@pytest.mark.fault("E2", "E19")
async def test_any_part_of_a_search_that_fails_starts_the_proof_over(rig, lost, method):
    await rig.reconcile()
    rig.venue.refuse(method, 13028, "temporarily_unavailable")
    assert (await rig.reconcile()).outcome == "skipped"
    await rig.reconcile()
    assert await status(rig) is OrderStatus.IN_DOUBT, "one search after the failure is the first"
    await until_failed(rig)


@pytest.mark.fault("E2")
async def test_without_the_second_witness_nothing_is_absent(rig, lost):
    rig.venue.refuse(HISTORY, 13028, "temporarily_unavailable", times=3, road=HTTP)
    while rig.venue.methods(HTTP).count(HISTORY) < 3:
        run = await rig.reconcile()
        assert (run.outcome, run.is_unsettled) == ("ok", True)
        assert await status(rig) is OrderStatus.IN_DOUBT
    await until_failed(rig)


@pytest.mark.fault("E2")
async def test_a_second_witness_that_fails_starts_the_proof_over_as_well(rig, lost):
    rig.venue.refuse(HISTORY, 13028, "temporarily_unavailable", road=HTTP)
    while HISTORY not in rig.venue.methods(HTTP):
        await rig.reconcile()
    await rig.reconcile()
    assert await status(rig) is OrderStatus.IN_DOUBT, "one search after the failure is the first"
    await until_failed(rig)


@pytest.mark.fault("E20")
async def test_a_session_that_denies_an_order_which_the_witness_shows_is_not_believed(
    rig, monkeypatch
):
    """A sick socket must not vouch for itself."""
    rig.account.put = lambda event: None
    rig.server.faults.withhold_replies("private/buy")
    approved = await rig.approved()
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.2
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    rig.client._call_timeout_s = patience_s
    entry = await rig.ledger.order(LABEL)
    await rig.until(lambda: rig.client.exchange_now_ms() > entry.valid_until_ms + 50)

    async def nothing(currency, label, **since):
        return LabelFindings(orders=(), fills=()) if since else ()

    async def no_fills(currency, start_ms, end_ms):
        return ()

    for name in ("search_label", "orders_by_label"):
        monkeypatch.setattr(rig.client, name, nothing)
    monkeypatch.setattr(rig.client, "fills_since", no_fills)
    seen = []
    while not (seen and seen[-1].is_final):
        await rig.reconcile()
        seen.append(await status(rig))
    assert seen[-1] is OrderStatus.FILLED
    assert (await rig.trade("t1")).open_amount == LOT[LINEAR]


async def test_life_is_looked_for_cheaply_and_absence_only_once_the_order_is_over(rig):
    rig.server.faults.lose_requests("private/buy")
    approved = await rig.approved()
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.05
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    rig.client._call_timeout_s = patience_s
    await rig.reconciler.run_once("at once")
    assert HISTORY not in rig.venue.methods(SOCKET)
    assert rig.venue.methods(SOCKET).count("private/get_order_state_by_label") == 1


async def test_many_doubts_take_their_turns(rig, lost, monkeypatch):
    monkeypatch.setattr(doubts, "SEARCHES_MAX", 1)
    other = (await rig.ledger.order(LABEL)).valid_until_ms
    rig.sql(
        "INSERT INTO orders (label, intent_id, attempt, strategy_id, strategy_name, role, trade_id,"
        " instrument, direction, order_type, amount, created_ms, valid_until_ms, status,"
        " reduce_only, filled_amount) SELECT 'vg-s-9-1', 9, 1, strategy_id, strategy_name, role,"
        " 't9', instrument, direction, order_type, amount, created_ms, ?, status, reduce_only,"
        " filled_amount FROM orders WHERE label = ?",
        other,
        LABEL,
    )
    before = rig.venue.methods(SOCKET).count(HISTORY)
    await rig.reconcile()
    assert rig.venue.methods(SOCKET).count(HISTORY) - before <= 2, "one search, two stores"
    await until_failed(rig)
    while (await rig.ledger.order("vg-s-9-1")).status is not OrderStatus.FAILED:
        await rig.reconcile()


# --- what the recent store has forgotten


@pytest.mark.fault("E19")
async def test_after_half_an_hour_it_takes_the_log_to_prove_that_nothing_came_of_it(rig, lost):
    """The process was down: the recent store has forgotten what ended without trading."""
    await age(rig, 40)
    while await status(rig) is not OrderStatus.FAILED:
        await rig.reconcile()
    row = await rig.ledger.order(LABEL)
    assert row.reason == "neither rests at the exchange nor was executed"
    assert "private/get_transaction_log" in rig.venue.methods(SOCKET)


async def test_after_half_an_hour_without_the_log_an_order_stays_in_doubt_and_people_are_told(
    rig, lost
):
    await age(rig, 40)
    rig.venue.refuse("private/get_transaction_log", 13028, "temporarily_unavailable", times=3)
    for _ in range(3):
        assert (await rig.reconcile()).outcome == "ok"
    assert await status(rig) is OrderStatus.IN_DOUBT
    assert f"order_in_doubt {LABEL}" in await rig.incidents()
    await until_failed(rig)
    await rig.reconcile()
    assert await rig.incidents() == {}


@pytest.mark.parametrize(
    ("since_min", "complete_min"),
    [
        pytest.param(-1_000, 0, id="to before the search"),
        pytest.param(-1, 1, id="from after the order"),
    ],
)
async def test_a_log_that_was_read_in_part_does_not_testify(rig, lost, since_min, complete_min):
    """What it cannot know it does not deny."""
    await age(rig, 40)
    now_ms = rig.client.exchange_now_ms()
    searched = Searched(
        since_ms=now_ms + since_min * MINUTE_MS, complete_ms=now_ms + complete_min * MINUTE_MS
    )
    await rig.ledger.account_log.store("USDC", [], searched)
    rig.venue.refuse("private/get_transaction_log", 13028, "temporarily_unavailable", times=10_000)
    await far_apart(rig, 3)
    assert await status(rig) is OrderStatus.IN_DOUBT


async def test_an_execution_in_the_log_that_nobody_can_place_keeps_the_doubt_alive(rig, lost):
    await age(rig, 40)
    await rig.reconcile()
    strange = LogEntry(
        entry_id=1,
        user_seq=5_000,
        currency="USDC",
        timestamp_ms=lost.valid_until_ms,
        entry_type="trade",
        change=Decimal(0),
        balance=Decimal(0),
        instrument_name=LINEAR,
        trade_id="USDC-whose",
    )
    now_ms = rig.client.exchange_now_ms()
    searched = Searched(since_ms=0, complete_ms=now_ms)
    await rig.ledger.account_log.store("USDC", [strange], searched)
    await far_apart(rig, 3)
    assert await status(rig) is OrderStatus.IN_DOUBT
    rig.sql("DELETE FROM account_log WHERE trade_id = 'USDC-whose'")
    await until_failed(rig)


async def test_after_a_day_two_searches_lie_further_apart_than_the_archive_lags(rig, lost):
    await age(rig, 60 * 24)
    await far_apart(rig, 4)
    assert await status(rig) is OrderStatus.IN_DOUBT


# --- meanwhile


async def test_while_a_close_is_in_doubt_nothing_is_opened_either_way(rig):
    """Coming late, it would take from the new position."""
    trade = await rig.enter()
    rig.venue.refuse("private/sell", 11094, "internal_server_error", times=20)
    outcome = await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Unknown)
    assert rig.books.directions_in_doubt(trade.instrument_name) == {BUY, SELL}


@pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear buy"), pytest.param(INVERSE, SELL, id="inverse sell")],
)
async def test_while_in_doubt_its_direction_on_its_instrument_is_taken(rig, name, side):
    """FAULTS §4.3, I7: for whatever strategy, also after a restart, and no longer than that."""
    assert rig.books.directions_in_doubt(name) == frozenset()
    rig.venue.refuse(f"private/{side.value}", 11094, "internal_server_error")
    approved = await rig.approved(name, side)
    outcome = await rig.desk.enter(approved, instrument_name=name, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    assert rig.books.directions_in_doubt(name) == {side}
    other = INVERSE if name == LINEAR else LINEAR
    assert rig.books.directions_in_doubt(other) == frozenset()
    rig.books.set_in_doubt((), judged=rig.books.labels_in_doubt)
    await rig.reconciler.run_once("start")
    assert rig.books.directions_in_doubt(name) == {side}
    await rig.until(
        lambda: rig.client.exchange_now_ms() > rig.books._in_doubt[LABEL].valid_until_ms + 50
    )
    await until_failed(rig)
    assert rig.books.directions_in_doubt(name) == frozenset()


async def test_linked_orders_follow_the_entry_they_hang_on(rig, lost):
    rows = await rig.rows("t1")
    assert rows[Role.STOP].status is rows[Role.TARGET].status is OrderStatus.PENDING
    assert (await rig.reconcile()).drifts == (), "they are not judged on their own"
    await until_failed(rig)
    rows = await rig.rows("t1")
    assert rows[Role.STOP].status is rows[Role.TARGET].status is OrderStatus.FAILED
    assert rows[Role.STOP].reason == f"parent {LABEL} failed"


async def test_what_comes_into_doubt_while_others_are_looked_for_stays_in_doubt(rig, monkeypatch):
    """Of another strategy, and the look for the first one takes its time. FAULTS §4.3."""
    rig.venue.refuse("private/buy", 11094, "internal_server_error", times=1)
    approved = await rig.approved()
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    ask = rig.client.orders_by_label

    async def orders_by_label(currency, label):
        if label == LABEL:
            rig.venue.refuse("private/sell", 11094, "internal_server_error")
            other = Author(strategy_id="other", strategy_name="Scripted")
            short = await rig.approved(LINEAR, SELL)
            await rig.desk.enter(short, instrument_name=LINEAR, author=other)
        return await ask(currency, label)

    monkeypatch.setattr(rig.client, "orders_by_label", orders_by_label)
    await rig.reconciler.run_once("demand")
    assert rig.books.directions_in_doubt(LINEAR) == {BUY, SELL}
