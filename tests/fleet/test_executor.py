"""One strategy's loop on the paper exchange: it resumes, wishes, refuses, trades, starts over."""

import asyncio
import contextlib
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from rig import BUY, INVERSE, LINEAR, SELL, Brain
from vigil.domain.order import OrderStatus, Role
from vigil.domain.standing import AnalysisState
from vigil.domain.trade import ExitReason
from vigil.fleet import executor as executors
from vigil.fleet.executor import Executor
from vigil.fleet.inbox import Inbox, Overflow
from vigil.trading import execution, pipeline
from vigil.trading.execution import Author
from vigil.trading.signal import Decision, Enter, Exit, MoveStop, WarmStart

ENTER = Enter(
    direction=BUY,
    notional_usd=Decimal(50_000),
    stop_loss_percent=Decimal(1),
    take_profit_percent=Decimal("1.4"),
    reason="told to",
)


def wish(*intents):
    return lambda ticker, position: Decision(intents=intents)


def once_flat(*intents):
    """Wishes only while no position is held."""
    return lambda ticker, position: Decision(intents=() if position else intents)


class Stage:
    """Executors of strategy `s`, started and stopped by the test."""

    def __init__(self, rig):
        self.rig = rig
        self.tasks = []
        self.executor = None

    async def start(self, *, name=LINEAR, brain=None, memory=None, is_paused=False):
        strategy_class = (brain or self.rig.brain).strategy_class
        strategy = strategy_class(strategy_class.Parameters(instrument=name))
        self.executor = Executor(
            author=Author(strategy_id="s", strategy_name="Scripted"),
            strategy=strategy,
            instrument=await self.rig.client.instrument(name),
            is_paused=is_paused,
            memory=memory,
            tools=self.rig.tools,
        )
        task = asyncio.ensure_future(self.executor.run())
        self.tasks.append(task)
        await self.rig.until(
            lambda: (
                task.done()
                or self.executor.analysis_state is not AnalysisState.INITIALIZING
                or self.executor.standing() is not None
            )
        )
        return self.executor

    async def quote(self):
        self.executor.quote(await self.rig.client.ticker(self.executor.instrument_name))

    async def quotes_until(self, look):
        async def quote_and_look():
            await self.quote()
            found = look()
            return await found if asyncio.iscoroutine(found) else found

        return await self.rig.until(quote_and_look)

    async def stop(self):
        for task in self.tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Overflow):
                await task
        self.tasks.clear()


@pytest.fixture
async def stage(rig):
    await rig.reconcile()
    made = Stage(rig)
    yield made
    await made.stop()


async def open_trade(rig):
    trades = (await rig.ledger.open_trades()).trades
    return trades[0] if trades else None


# --- resuming


async def test_with_nothing_in_the_ledger_it_starts_from_nothing(stage):
    executor = await stage.start()
    state = executor.state
    assert (state.trade, state.entry, state.close, state.last_exit_ms) == (None,) * 4
    assert state.trades_today == 0
    assert executor.analysis_state is AnalysisState.INITIALIZING
    await stage.quotes_until(lambda: executor.analysis_state is AnalysisState.ANALYZING)


@pytest.mark.parametrize(("name", "side"), [(LINEAR, BUY), (INVERSE, SELL)])
async def test_an_open_trade_is_its_own_again_and_no_second_one_is_opened(stage, rig, name, side):
    trade = await rig.enter(name, side)
    rig.brain.decide = wish(ENTER)
    executor = await stage.start(name=name)
    assert executor.state.trade == trade
    assert executor.state.trades_today == 1
    assert executor.analysis_state is AnalysisState.POSITION_OPEN
    with capture_logs() as lines:
        await stage.quotes_until(lambda: refusals(lines))
    assert refusals(lines) == ["position_open"]
    assert len(rig.venue.acts()) == 1


async def test_another_strategys_trade_is_none_of_its_business(stage, rig):
    await rig.enter(strategy_id="other")
    rig.insert_trade()
    executor = await stage.start()
    assert executor.state.trade is None
    assert executor.state.trades_today == 0


async def test_a_trade_that_opens_while_it_resumes_is_counted_once(stage, rig, monkeypatch):
    """Its entry was in doubt, and the fill comes between two reads of the ledger."""
    read, entered = rig.ledger.working_orders, []

    async def working_orders():
        if not entered:
            entered.append(1)
            await rig.enter()
        return await read()

    with monkeypatch.context() as patch:
        patch.setattr(rig.ledger, "working_orders", working_orders)
        executor = await stage.start()
    await stage.quotes_until(lambda: rig.brain.lives[-1].seen)
    assert executor.state.trade == await open_trade(rig)
    assert executor.state.trades_today == 1


async def test_an_entry_in_doubt_is_known_again_and_blocks_the_next(stage, rig, monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 300)
    monkeypatch.setattr(pipeline, "REJECTION_REST_MS", 50)
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    author = Author(strategy_id="s", strategy_name="Scripted")
    await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=author)
    rig.brain.decide = once_flat(ENTER)
    executor = await stage.start()
    assert executor.state.entry.status is OrderStatus.IN_DOUBT
    assert executor.analysis_state is AnalysisState.SIGNAL_DETECTED
    with capture_logs() as lines:
        await stage.quotes_until(lambda: refusals(lines))
    assert refusals(lines) == ["order_in_doubt"]
    assert len(rig.venue.acts()) == 1

    async def settled():
        await rig.reconcile()
        return executor.state.entry is None

    await rig.until(settled)
    await stage.quotes_until(lambda: open_trade(rig))
    assert len(rig.venue.acts()) == 2


@pytest.mark.parametrize(
    ("intent", "way"),
    [
        pytest.param(ENTER, "private/buy", id="entry"),
        pytest.param(Exit(reason="enough"), "private/sell", id="close"),
    ],
)
async def test_what_has_filled_and_whose_fills_are_late_is_not_done_again_after_a_restart(
    stage, rig, monkeypatch, intent, way
):
    """By the trades alone it would seem flat after its entry, and not flat after its close."""
    trade = await rig.enter() if isinstance(intent, Exit) else None

    async def held_up(fills):
        return ()

    with monkeypatch.context() as patch:
        patch.setattr(rig.books, "book_fills", held_up)
        if trade is None:
            author = Author(strategy_id="s", strategy_name="Scripted")
            await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=author)
        else:
            await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
        sent = rig.venue.acts().count(way)
        rig.brain.decide = wish(intent)
        executor = await stage.start()
        for _ in range(3):
            await stage.quotes_until(lambda: rig.brain.lives[-1].seen)
        assert rig.venue.acts().count(way) == sent
    await rig.reconcile()
    rig.brain.decide = wish()
    is_open = trade is None
    await rig.until(lambda: (executor.state.trade is not None) is is_open)
    assert executor.state.entry is None
    assert executor.state.close is None


async def test_a_rest_after_the_last_trade_goes_on_after_a_restart(stage, rig):
    rig.brain.cooldown_ms = 60_000
    trade = await rig.enter()
    await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    closed = await rig.closed(trade.trade_id)
    rig.brain.decide = wish(ENTER)
    executor = await stage.start()
    assert executor.state.last_exit_ms == closed.exit_time_ms
    assert executor.state.trades_today == 1
    assert executor.analysis_state is AnalysisState.COOLDOWN
    with capture_logs() as lines:
        await stage.quotes_until(lambda: refusals(lines))
    assert refusals(lines) == ["cooldown"]


async def test_news_of_the_last_trade_that_comes_after_a_restart_is_old_news(stage, rig):
    """Of a trade so short that its entry could still be on the road when it ended."""
    trade = await rig.enter()
    entry = (await rig.rows(trade.trade_id))[Role.ENTRY]
    await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_time_ms < entry.valid_until_ms
    executor = await stage.start()
    rig.books._tell_orders((entry,))
    await stage.quotes_until(lambda: rig.brain.lives[-1].seen)
    assert executor.state.entry is None
    assert executor.analysis_state is AnalysisState.ANALYZING


async def test_its_memory_is_handed_back_to_it(stage, rig):
    executor = await stage.start(memory={"seen": 41})
    await stage.quotes_until(lambda: rig.brain.lives[-1].seen)
    standing = executor.standing()
    assert standing["memory"]["seen"] >= 42
    assert standing["analysisState"] == "analyzing"


async def test_a_memory_it_refuses_is_told_and_it_warms_up_from_history(stage, rig):
    rig.brain.refuses_memory = True
    rig.brain.warm_start = WarmStart(resolution="1", timeframe_ms=60_000, count=30)
    with capture_logs() as lines:
        await stage.start(memory={"seen": 41})
    assert [line["event"] for line in lines].count("strategy.memory_refused") == 1
    history = rig.brain.lives[-1].history
    assert 28 <= len(history) <= 30
    now_ms = rig.client.exchange_now_ms()
    assert all(candle.start_ms + 60_000 <= now_ms for candle in history), "closed candles only"
    assert [c.start_ms for c in history] == sorted(c.start_ms for c in history)


# --- trading


@pytest.mark.parametrize(("name", "side"), [(LINEAR, BUY), (LINEAR, SELL), (INVERSE, SELL)])
async def test_a_wish_becomes_a_protected_trade_that_it_then_knows_as_its_own(
    stage, rig, name, side
):
    wanted = Enter(
        direction=side,
        notional_usd=Decimal(50_000),
        stop_loss_percent=Decimal(1),
        take_profit_percent=Decimal(2),
        reason="told to",
    )
    rig.brain.decide = once_flat(wanted)
    executor = await stage.start(name=name)
    await stage.quotes_until(lambda: executor.state.trade)
    trade = await open_trade(rig)
    assert executor.state.trade == trade
    assert (trade.strategy_id, trade.strategy_name, trade.side) == ("s", "Scripted", side)
    await rig.reconcile()
    await rig.assert_agreement()
    assert rig.venue.acts() == [f"private/{side.value}"]
    assert executor.standing()["tradeId"] == trade.trade_id


async def test_the_trade_closed_by_its_stop_is_heard_of_and_counted(stage, rig):
    rig.brain.cooldown_ms = 60_000
    rig.brain.decide = once_flat(ENTER)
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.state.trade)
    trade = executor.state.trade
    rig.price(LINEAR, trade.stop_loss - 30)
    await rig.until(lambda: executor.state.trade is None)
    closed = await rig.closed(trade.trade_id)
    assert executor.state.last_exit_ms == closed.exit_time_ms
    assert executor.analysis_state is AnalysisState.COOLDOWN
    assert executor.state.trades_today == 1


async def test_a_stop_is_moved_where_it_is_wanted(stage, rig):
    trade = await rig.enter()
    price = trade.stop_loss + 100
    rig.brain.decide = wish(MoveStop(stop_price=price, reason="half way"))
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.state.trade.stop_loss == price)
    (stop,) = await rig.until(lambda: [one for one in rig.resting() if one.waits_for_trigger])
    await rig.until(lambda: price in {order.trigger_price for order in rig.resting()})
    await rig.reconcile()
    await rig.assert_agreement()
    assert rig.requested == []


async def test_a_stop_that_was_not_moved_asks_for_a_pass(stage, rig):
    trade = await rig.enter()
    rig.venue.refuse("private/edit", 11031, "other_error")
    rig.brain.decide = wish(MoveStop(stop_price=trade.stop_loss + 100, reason="half way"))
    await stage.start()
    await stage.quotes_until(lambda: "stop not moved" in rig.requested)


async def test_a_wish_to_leave_closes_the_trade(stage, rig):
    trade = await rig.enter()
    rig.brain.decide = lambda ticker, position: Decision(
        intents=(Exit(reason="enough"),) if position else ()
    )
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.state.trade is None)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.STRATEGY_STOP
    assert closed.pnl == await rig.exchange_pnl(LINEAR)
    assert rig.venue.acts().count("private/sell") == 1


async def test_a_close_that_is_not_confirmed_asks_for_a_pass(stage, rig):
    await rig.enter()
    rig.venue.refuse("private/sell", 13028, "temporarily_unavailable")
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    rig.brain.decide = wish(Exit(reason="enough"))
    await stage.start()
    await stage.quotes_until(lambda: "close not confirmed" in rig.requested)
    for _ in range(5):
        await stage.quote()
        await asyncio.sleep(0)
    assert rig.venue.acts().count("private/sell") == 1, "one that is in doubt is not sent again"


async def test_a_close_that_found_nobody_to_trade_with_asks_for_a_pass_and_rests(stage, rig):
    """It was taken, and nothing came of it: the position is held, and its stop is gone."""
    trade = await rig.enter()
    rig.server.deeds.do("disturb-book", instrument_name=LINEAR, how="empty")
    rig.brain.decide = wish(Exit(reason="enough"))
    executor = await stage.start()
    await stage.quotes_until(lambda: "close not confirmed" in rig.requested)
    assert (await rig.rows("t1"))[Role.CLOSE].status is OrderStatus.CANCELLED
    await stage.quotes_until(lambda: executor.state.close_failures == 1)
    seen = rig.brain.lives[-1].seen
    count = len(seen)
    await stage.quotes_until(lambda: len(seen) > count + 5)
    assert rig.venue.acts().count("private/sell") == 1
    await rig.reconcile()
    assert {trade.stop_loss} <= {order.trigger_price for order in rig.resting()}


@pytest.mark.parametrize(
    ("intent", "method", "cause"),
    [
        (Exit(reason="enough"), "private/cancel", "close not confirmed"),
        (MoveStop(stop_price=Decimal(99_500), reason="up"), "private/edit", "stop not moved"),
        (ENTER, "private/buy", "order in doubt"),
    ],
    ids=["close", "stop", "entry"],
)
async def test_what_is_broken_off_is_looked_at_soon(stage, rig, intent, method, cause):
    """Its strategy is stopped or edited meanwhile: nobody else waits for the answer."""
    if intent is not ENTER:
        await rig.enter()
    rig.brain.decide = wish(intent)
    await stage.start()
    rig.venue.before(method, lambda _: stage.tasks[-1].cancel())
    await stage.quotes_until(lambda: stage.tasks[-1].done())
    assert cause in rig.requested


async def test_an_entry_in_doubt_asks_for_a_pass_and_is_not_repeated(stage, rig):
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    rig.brain.decide = once_flat(ENTER)
    executor = await stage.start()
    with capture_logs() as lines:
        await stage.quotes_until(lambda: rig.requested == ["order in doubt"])
        await stage.quotes_until(lambda: refusals(lines))
    assert refusals(lines) == ["order_in_doubt"]
    assert executor.analysis_state is AnalysisState.SIGNAL_DETECTED
    assert rig.venue.acts() == ["private/buy"]


async def test_an_order_in_doubt_of_another_strategy_takes_its_direction_on_the_instrument(
    stage, rig
):
    """FAULTS §4.3."""
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    other = Author(strategy_id="other", strategy_name="Scripted")
    await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=other)
    rig.brain.decide = once_flat(ENTER)
    await stage.start()
    with capture_logs() as lines:
        await stage.quotes_until(lambda: refusals(lines))
    assert refusals(lines) == ["order_in_doubt"]
    assert rig.venue.acts() == ["private/buy"]


# --- refusing


def refusals(lines):
    return [line["reason"] for line in lines if line["event"] == "order.refused"]


async def test_without_the_right_to_trade_no_wish_is_sent_and_one_line_says_why(stage, rig):
    rig.authority.refuse("session", "no session: cut")
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.analysis_state is AnalysisState.ANALYZING)
    rig.brain.decide = wish(ENTER)
    with capture_logs() as lines:
        seen = rig.brain.lives[-1].seen
        await stage.quotes_until(lambda: len(seen) >= 20)
    assert refusals(lines) == ["trading_not_allowed"]
    (line,) = [line for line in lines if line["event"] == "order.refused"]
    assert (line["strategy"], line["detail"]) == ("s", "no session: cut")
    assert rig.venue.acts() == []


async def test_each_change_of_the_reason_is_one_line(stage, rig):
    rig.authority.refuse("session", "no session: cut")
    rig.brain.decide = wish(ENTER)
    with capture_logs() as lines:
        executor = await stage.start(is_paused=True)
        seen = rig.brain.lives[-1].seen
        for refuse in (False, True, False):
            count = len(seen)
            await stage.quotes_until(lambda count=count: len(seen) > count + 2)
            if refuse:
                rig.authority.refuse("session", "no session: cut")
            else:
                rig.authority.allow("session")
        count = len(seen)
        await stage.quotes_until(lambda: len(seen) > count + 2)
    assert refusals(lines) == ["trading_not_allowed", "paused", "trading_not_allowed", "paused"]
    assert executor.analysis_state is AnalysisState.PAUSED


@pytest.mark.fault("N15")
async def test_nothing_is_opened_on_quotes_that_come_late(stage, rig):
    """They are four seconds old when they come, and say so themselves."""
    rig.server.faults.arm("delay-notification", channel="ticker.*", delay_s=4, count=10**6)
    await rig.client.watch([LINEAR])
    rig.fleet.quote = lambda ticker: stage.executor.quote(ticker)
    rig.brain.decide = wish(ENTER)
    with capture_logs() as lines:
        executor = await stage.start()
        await rig.until(lambda: refusals(lines))
    assert set(refusals(lines)) == {"stale_data"}
    assert executor.refusal.startswith("stale_data: quote is ")
    assert rig.venue.acts() == []


@pytest.mark.fault("N15")
async def test_a_ticker_that_falls_silent_is_a_reason_of_its_own_and_passes(stage, rig):
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.analysis_state is AnalysisState.ANALYZING)
    await rig.client.watch([LINEAR])
    rig.fleet.quote = lambda ticker: stage.executor.quote(ticker)
    muted = rig.server.faults.arm("mute-channel", channel="ticker.*")
    await rig.until(lambda: (executor.refusal or "").startswith("stale_data: "))
    assert rig.client.is_live
    rig.server.faults.disarm(muted.number)
    await rig.until(lambda: executor.refusal is None)


@pytest.mark.fault("E32")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (10009, "not_enough_funds"),
        (10039, "not_enough_funds_in_currency"),
        (10013, "pme_max_total_open_orders"),
        (10018, "non_pme_max_future_position_size"),
        (10032, "whole_cost_too_low"),
    ],
)
async def test_what_the_account_cannot_afford_is_refused_once_and_then_rested(
    stage, rig, code, message
):
    rig.venue.refuse("private/buy", code, message, times=99)
    rig.brain.decide = once_flat(ENTER)
    with capture_logs() as lines:
        executor = await stage.start()
        seen = rig.brain.lives[-1].seen
        await stage.quotes_until(lambda: len(seen) >= 30)
    assert rig.venue.acts() == ["private/buy"]
    assert (executor.state.entry, executor.state.rejections) == (None, 1)
    assert refusals(lines)[-1] == "rejected_before"
    assert "order in doubt" not in rig.requested
    assert executor.state.retry_ms - rig.client.exchange_now_ms() <= 5_000
    assert (await rig.rows("t1"))[Role.ENTRY].status is OrderStatus.REJECTED


@pytest.mark.fault("E32")
async def test_without_money_in_the_account_no_order_is_in_doubt(stage, rig):
    """The exchange itself says no: everything was transferred away."""
    summary = await rig.client.account_summary("USDC")
    rig.server.deeds.do("transfer", currency="USDC", amount=-summary.balance)
    rig.brain.decide = once_flat(ENTER)
    executor = await stage.start()
    await stage.quotes_until(lambda: executor.state.rejections == 1)
    assert executor.state.entry is None
    assert rig.venue.acts() == ["private/buy"]
    assert rig.position(LINEAR) == 0
    await rig.reconcile()
    await rig.assert_agreement()


async def test_paused_it_keeps_its_trade_and_goes_on_protecting_it(stage, rig):
    trade = await rig.enter()
    price = trade.stop_loss + 100
    rig.brain.decide = wish(MoveStop(stop_price=price, reason="half way"), ENTER)
    executor = await stage.start(is_paused=True)
    await stage.quotes_until(lambda: executor.state.trade.stop_loss == price)
    assert executor.analysis_state is AnalysisState.POSITION_OPEN
    assert rig.venue.acts() == ["private/buy", "private/edit"]


# --- ending


async def test_more_news_than_it_can_hold_ends_its_run_to_start_over_from_the_ledger(
    stage, rig, monkeypatch
):
    monkeypatch.setattr(executors, "Inbox", lambda: Inbox(capacity=2))
    trade = await rig.enter()
    executor = await stage.start()
    for _ in range(3):
        executor.trade_changed(trade)
    with pytest.raises(Overflow):
        await stage.tasks[0]
    stage.tasks.clear()
    again = await stage.start()
    assert again.state.trade == trade


async def test_after_its_end_it_hears_nothing_and_its_successor_does(stage, rig):
    first = await stage.start()
    await stage.stop()
    second = await stage.start()
    trade = await rig.enter()
    await rig.until(lambda: second.state.trade == trade)
    assert first.state.trade is None


async def test_an_error_of_the_strategy_ends_the_run_and_nothing_else(stage, rig):
    def break_down(ticker, position):
        raise RuntimeError("faulty on purpose")

    trade = await rig.enter()
    rig.brain.decide = break_down
    await stage.start()
    await stage.quote()
    with pytest.raises(RuntimeError, match="faulty on purpose"):
        await stage.tasks[0]
    stage.tasks.clear()
    await rig.reconcile()
    await rig.assert_agreement()
    assert await rig.open_ids() == {trade.trade_id}


async def test_before_it_has_resumed_there_is_nothing_to_keep_of_it(rig):
    brain = Brain()
    strategy = brain.strategy_class(brain.strategy_class.Parameters(instrument=LINEAR))
    executor = Executor(
        author=Author(strategy_id="s", strategy_name="Scripted"),
        strategy=strategy,
        instrument=await rig.client.instrument(LINEAR),
        is_paused=False,
        memory=None,
        tools=rig.tools,
    )
    assert executor.standing() is None
    assert executor.analysis_state is AnalysisState.INITIALIZING
