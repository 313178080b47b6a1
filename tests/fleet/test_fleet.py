"""Desired against running: started, stopped, replaced; isolated, restarted, given up on."""

import asyncio
import contextlib
import functools
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from rig import BUY, ETHER, INVERSE, LINEAR, LOT, QUICK, desired, wanted
from vigil.domain.standing import AnalysisState
from vigil.domain.trade import ExitReason
from vigil.errors import Misconfigured, Transient
from vigil.fleet import fleet as fleets
from vigil.fleet.desired import StateFileRefused
from vigil.supervision.restarts import ChildSpec, Intensity
from vigil.supervision.supervisor import ChildState
from vigil.trading.signal import Decision, Enter, WarmStart

ENTER = Enter(
    direction=BUY,
    notional_usd=Decimal(500),
    stop_loss_percent=Decimal(1),
    take_profit_percent=Decimal("1.4"),
    reason="told to",
)


def eager(ticker, position):
    return Decision(intents=() if position else (ENTER,))


def broken(ticker, position):
    raise RuntimeError("faulty on purpose")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(fleets, "ChildSpec", functools.partial(ChildSpec, stop_timeout_s=0.1))


@pytest.fixture
async def fleet(rig):
    """Started, with nothing to run yet."""
    await rig.reconcile()
    await rig.fleet.start()
    return rig.fleet


async def put_in_force(rig, *strategies):
    state = desired(*strategies)
    await rig.fleet.validate(state)
    await rig.fleet.apply(state)


async def reaches(rig, strategy_id, state):
    await rig.until(lambda: rig.fleet.analysis_state(strategy_id) is state)


def running(rig):
    return {
        child.name.removeprefix(fleets.CHILD_PREFIX)
        for child in rig.supervisor.status()
        if child.name.startswith(fleets.CHILD_PREFIX) and child.state is ChildState.RUNNING
    }


# --- applying


async def test_what_is_put_in_force_before_the_start_runs_from_the_start_on(rig):
    await rig.fleet.apply(desired(wanted("a"), wanted("b", status="stopped")))
    assert running(rig) == set()
    assert [member.id for member in rig.fleet.members] == ["a", "b"]
    await rig.reconcile()
    await rig.fleet.start()
    await reaches(rig, "a", AnalysisState.ANALYZING)
    assert running(rig) == {"a"}
    assert rig.fleet.analysis_state("b") is AnalysisState.STOPPED


async def test_strategies_are_added_and_removed_and_the_others_keep_running(rig, fleet):
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    kept = fleet.executor("a")
    await put_in_force(rig, wanted("a"), wanted("b", instrument=INVERSE))
    await reaches(rig, "b", AnalysisState.ANALYZING)
    await put_in_force(rig, wanted("c"), wanted("a"))
    await reaches(rig, "c", AnalysisState.ANALYZING)
    assert running(rig) == {"a", "c"}
    assert fleet.executor("a") is kept
    assert [member.id for member in fleet.members] == ["c", "a"], "in the file's order"


async def test_the_same_file_again_touches_nothing(rig, fleet):
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    kept = fleet.executor("a")
    await put_in_force(rig, wanted("a"))
    assert fleet.executor("a") is kept


async def test_an_edited_strategy_is_replaced_with_its_memory_and_its_trade(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade_ids = await rig.open_ids()
    before = fleet.executor("a")
    seen = len(before._strategy.seen)
    await put_in_force(rig, wanted("a", tradeSize=600))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    after = fleet.executor("a")
    assert after is not before
    assert after._strategy.parameters.trade_size == 600
    assert after._strategy.restored["seen"] >= seen
    assert await rig.open_ids() == trade_ids == {after.state.trade.trade_id}


async def test_paused_it_opens_nothing_and_active_again_it_does(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", status="paused"))
    await reaches(rig, "a", AnalysisState.PAUSED)
    seen = fleet.executor("a")._strategy.seen
    await rig.until(lambda: len(seen) > 3)
    assert rig.venue.acts() == []
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)


async def test_stopped_it_keeps_its_position_protected(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    await rig.until(lambda: len(rig.resting()) == 2)
    acts = rig.venue.acts()
    await put_in_force(rig, wanted("a", status="stopped"))
    assert running(rig) == set()
    assert rig.fleet.analysis_state("a") is AnalysisState.STOPPED
    await rig.reconcile()
    assert rig.venue.acts() == acts
    await rig.assert_agreement()
    assert len(await rig.open_ids()) == 1


async def test_stopped_with_flatten_it_closes_its_own_trade_and_no_other(rig, fleet):
    other = await rig.enter(strategy_id="other")
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", onStop="flatten"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    await put_in_force(rig, wanted("a", status="stopped", onStop="flatten"))
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.STRATEGY_STOP
    assert await rig.open_ids() == {other.trade_id}
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_flatten_that_the_exchange_did_not_hear_of_is_made_up_for(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", onStop="flatten"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    await rig.supervisor.remove_child("session")
    await rig.fleet.apply(desired(wanted("a", status="stopped", onStop="flatten")))
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    await rig.reconcile()
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.STRATEGY_STOP


async def test_a_flatten_that_is_refused_is_tried_again(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", onStop="flatten"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    rig.venue.refuse("private/sell", 11098, "account_locked", times=2)
    await put_in_force(rig, wanted("a", status="stopped", onStop="flatten"))
    await rig.closed(trade.trade_id)
    assert rig.venue.acts().count("private/sell") == 3
    await rig.until(lambda: fleet.child("a").state is ChildState.STOPPED)
    assert fleet.analysis_state("a") is AnalysisState.STOPPED
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_flatten_that_met_an_empty_book_is_tried_again(rig, fleet):
    """The exchange took the order and cancelled it: nothing is closed by that."""
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", onStop="flatten"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    rig.server.deeds.do("disturb-book", instrument_name=LINEAR, how="empty")
    await put_in_force(rig, wanted("a", status="stopped", onStop="flatten"))
    await rig.until(lambda: rig.venue.acts().count("private/sell") == 2)
    assert "close not confirmed" in rig.requested
    rig.server.deeds.do("disturb-book", instrument_name=LINEAR, how="calm")
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.STRATEGY_STOP


async def test_a_flatten_in_doubt_is_not_sent_twice(rig, fleet):
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", onStop="flatten"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    rig.venue.refuse("private/sell", 13028, "temporarily_unavailable")
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    await put_in_force(rig, wanted("a", status="stopped", onStop="flatten"))
    await rig.until(lambda: fleet.child("a").restarts >= 3)
    assert rig.venue.acts().count("private/sell") == 1
    assert "close not confirmed" in rig.requested
    await rig.until_reconciled(lambda: rig.position(LINEAR) == 0)
    await rig.closed(trade.trade_id)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_what_a_close_has_flattened_already_is_not_closed_twice(rig, fleet, monkeypatch):
    """Its fills are not known yet, and what is left in the instrument is another strategy's."""
    await rig.enter(strategy_id="other")
    trade = await rig.enter(strategy_id="a")

    async def held_up(fills):
        return ()

    with monkeypatch.context() as patch:
        patch.setattr(rig.books, "book_fills", held_up)
        await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
        await put_in_force(rig, wanted("a", status="stopped", onStop="flatten"))
        sells = rig.venue.acts
        await rig.until(lambda: fleet.child("a").restarts or sells().count("private/sell") > 1)
    assert sells().count("private/sell") == 1
    await rig.reconcile()
    await rig.closed(trade.trade_id)
    assert rig.position(LINEAR) == LOT[LINEAR]


async def test_what_was_to_be_flattened_when_the_process_died_is_flattened_at_the_start(rig):
    trade = await rig.enter(strategy_id="a")
    await rig.fleet.apply(desired(wanted("a", status="stopped", onStop="flatten")))
    await rig.reconcile()
    assert (await rig.trade(trade.trade_id)).is_open, "nothing is sent before the start"
    await rig.fleet.start()
    assert (await rig.closed(trade.trade_id)).exit_reason is ExitReason.STRATEGY_STOP


async def test_a_strategy_started_again_is_flattened_no_more(rig, fleet):
    trade = await rig.enter(strategy_id="a")
    await rig.supervisor.remove_child("session")
    await fleet.apply(desired(wanted("a", status="stopped", onStop="flatten")))
    await fleet.apply(desired(wanted("a", onStop="flatten")))
    rig.start_session()
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    await rig.reconcile()
    assert await rig.open_ids() == {trade.trade_id}
    await rig.assert_agreement()


async def test_removed_while_it_holds_a_position_its_trade_and_stop_stay(rig, fleet):
    """FAULTS O12: never forgotten, even if nobody runs for it any more."""
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    trade = fleet.executor("a").state.trade
    await put_in_force(rig)
    assert fleet.members == ()
    assert running(rig) == set()
    await rig.reconcile()
    await rig.assert_agreement()
    rig.price(LINEAR, trade.stop_loss - 30)
    assert (await rig.closed(trade.trade_id)).exit_reason is ExitReason.SL_HIT


# --- what the catalog and the exchange know


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        pytest.param(
            {"instrument": "BTC_EUR-PERPETUAL"},
            "config.instrument",
            "'BTC_EUR-PERPETUAL' is not known at the exchange",
            id="unknown instrument",
        ),
        pytest.param({"name": "Scripter"}, "name", "unknown strategy", id="unknown strategy"),
        pytest.param({"tradeSise": 1}, "config.tradeSise", "tradeSize", id="unknown parameter"),
        pytest.param({"tradeSize": 1}, "config.tradeSize", "minimum amount", id="too small"),
    ],
)
async def test_what_cannot_run_is_refused_with_its_field(rig, change, field, words):
    with pytest.raises(StateFileRefused) as refused:
        await rig.fleet.validate(desired(wanted("a"), wanted("b", **change)))
    assert refused.value.field == f"activeStrategies[1].{field}"
    assert words in refused.value.reason
    assert refused.value.line is not None
    assert refused.value.fix


async def test_what_is_stopped_need_not_be_known_at_the_exchange(rig):
    await rig.fleet.validate(desired(wanted("a", status="stopped", instrument="BTC_EUR-PERPETUAL")))


async def test_while_the_exchange_cannot_be_asked_its_half_of_the_check_is_left_out(rig):
    unknown = desired(wanted("a", instrument="BTC_EUR-PERPETUAL"))
    rig.venue.refuse("public/get_instrument", 13028, "temporarily_unavailable")
    await rig.fleet.validate(unknown)
    await rig.supervisor.remove_child("session")
    await rig.fleet.validate(unknown)


async def test_an_unknown_instrument_that_was_not_checked_is_told_by_the_strategy_itself(
    rig, fleet
):
    """The file was accepted while the exchange could not be asked."""
    await fleet.apply(desired(wanted("a", instrument="BTC_EUR-PERPETUAL"), wanted("b")))
    await rig.until(lambda: fleet.child("a").is_misconfigured)
    assert fleet.analysis_state("a") is AnalysisState.ERROR
    child = fleet.child("a")
    assert child.last_error.startswith(
        "Misconfigured: config.instrument 'BTC_EUR-PERPETUAL' is not known at the exchange"
    )
    assert "correct it in the state file" in child.last_error
    await reaches(rig, "b", AnalysisState.ANALYZING)
    assert fleet.instrument_names() == {LINEAR}


# --- quotes


async def test_quotes_reach_the_strategies_of_their_instrument_only(rig, fleet):
    await put_in_force(
        rig,
        wanted("a"),
        wanted("b", instrument=INVERSE),
        wanted("c", instrument=INVERSE),
    )
    for strategy_id in "abc":
        await reaches(rig, strategy_id, AnalysisState.ANALYZING)
    lives = {each: fleet.executor(each)._strategy for each in "abc"}
    assert {ticker.instrument_name for ticker in lives["a"].seen} == {LINEAR}
    for each in "bc":
        assert {ticker.instrument_name for ticker in lives[each].seen} == {INVERSE}


async def test_a_strategy_that_is_gone_gets_no_quotes(rig, fleet):
    await put_in_force(rig, wanted("a"), wanted("b"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    gone = fleet.executor("a")._strategy
    await put_in_force(rig, wanted("b"))
    count, other = len(gone.seen), fleet.executor("b")._strategy
    before = len(other.seen)
    await rig.until(lambda: len(other.seen) > before + 3)
    assert len(gone.seen) == count


async def test_a_subscription_that_fails_does_not_keep_strategies_from_starting(rig, fleet):
    state = desired(wanted("a", instrument=ETHER))
    await fleet.validate(state)
    rig.venue.refuse("public/subscribe", 13028, "temporarily_unavailable")
    with capture_logs() as lines:
        await fleet.apply(state)
    assert "quotes.not_subscribed" in [line["event"] for line in lines]
    await rig.until(lambda: fleet.executor("a") is not None)
    assert running(rig) == {"a"}
    await rig.drop_session()
    await reaches(rig, "a", AnalysisState.ANALYZING)


# --- crashes


async def test_a_crash_of_one_is_nobody_elses(rig, fleet):
    """FAULTS S1: it comes back by itself, its position stays protected, the others go on."""
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a"), wanted("b", instrument=INVERSE))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    await reaches(rig, "b", AnalysisState.POSITION_OPEN)
    other, trade = fleet.executor("b"), fleet.executor("a").state.trade
    first = fleet.executor("a")
    failures = []

    def break_once(ticker, position):
        if ticker.instrument_name == LINEAR and not failures:
            failures.append(1)
            raise RuntimeError("faulty on purpose")
        return eager(ticker, position)

    rig.brain.decide = break_once
    await rig.until(lambda: fleet.child("a").restarts == 1)
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)
    again = fleet.executor("a")
    assert again is not first
    assert again._strategy is not first._strategy, "what broke may be in the old one's memory"
    assert again.state.trade.trade_id == trade.trade_id
    assert "faulty on purpose" in fleet.child("a").last_error
    assert fleet.executor("b") is other
    assert fleet.child("b").restarts == 0
    await rig.reconcile()
    await rig.assert_agreement()


async def test_what_goes_on_crashing_is_given_up_on_and_shown_as_error(rig, fleet, monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_INTENSITY", Intensity(restarts_max=3, period_s=600.0))
    trade = await rig.enter(strategy_id="a")
    rig.brain.decide = broken
    await put_in_force(rig, wanted("a"))
    await rig.until(lambda: fleet.child("a").state is ChildState.FAILED)
    assert fleet.analysis_state("a") is AnalysisState.ERROR
    assert fleet.child("a").restarts == 3
    assert fleet.executor("a") is None
    await rig.reconcile()
    await rig.assert_agreement()
    assert await rig.open_ids() == {trade.trade_id}
    rig.brain.decide = eager
    await put_in_force(rig, wanted("a", tradeSize=600))
    await reaches(rig, "a", AnalysisState.POSITION_OPEN)


async def test_an_exchange_that_is_away_for_long_is_no_failure_of_a_strategy(
    rig, fleet, monkeypatch
):
    """A strategy added, or started over, during an outage waits for its end."""
    monkeypatch.setattr(fleets, "STRATEGY_INTENSITY", Intensity(restarts_max=2, period_s=600.0))
    await rig.supervisor.remove_child("session")
    rig.brain.warm_start = WarmStart(resolution="1", timeframe_ms=60_000, count=5)
    await fleet.apply(desired(wanted("a")))
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await rig.until(lambda: fleet.child("a").state is ChildState.FAILED)
    assert fleet.child("a").state is ChildState.RUNNING
    assert fleet.analysis_state("a") is AnalysisState.INITIALIZING
    rig.start_session()
    await rig.until(lambda: fleet.executor("a") and fleet.executor("a").standing())
    assert fleet.child("a").restarts == 0


@pytest.fixture
def stubborn(monkeypatch):
    """While this context lasts, executors are made that do not end when told to."""
    release = asyncio.Event()

    class Stubborn(fleets.Executor):
        async def run(self):
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

    @contextlib.contextmanager
    def making():
        with monkeypatch.context() as patch:
            patch.setattr(fleets, "Executor", Stubborn)
            yield release

    yield making
    release.set()


async def test_one_that_does_not_end_when_told_keeps_nobody_else_from_starting(
    rig, fleet, stubborn
):
    """FAULTS S8: it is abandoned, and its successor starts when it is gone."""
    with stubborn() as release:
        await put_in_force(rig, wanted("a"))
        await rig.until(lambda: fleet.executor("a") is not None)
    edited = wanted("a", tradeSize=600), wanted("b")
    try:
        with pytest.raises(Transient, match="abandoned"):
            await put_in_force(rig, *edited)
        await reaches(rig, "b", AnalysisState.ANALYZING)
    finally:
        release.set()
    await rig.until(lambda: rig.supervisor.abandoned == ())
    await put_in_force(rig, *edited)
    await reaches(rig, "a", AnalysisState.ANALYZING)


# --- memory


async def test_its_memory_survives_an_ordered_stop(rig, fleet):
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    ran = fleet.executor("a")._strategy
    await put_in_force(rig, wanted("a", status="stopped"))
    kept = fleet.standings()["a"]
    assert kept["memory"] == ran.snapshot()
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    assert fleet.executor("a")._strategy.restored == kept["memory"]


async def test_after_a_crash_it_starts_from_the_last_checkpoint_instead(rig, fleet):
    await put_in_force(rig, wanted("a"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    kept = fleet.standings()["a"]["memory"]
    seen = fleet.executor("a")._strategy.seen
    await rig.until(lambda: len(seen) > kept["seen"] + 2)
    rig.brain.decide = broken
    await rig.until(lambda: fleet.child("a").restarts)
    rig.brain.decide = eager
    await rig.until(lambda: fleet.executor("a") and fleet.executor("a").standing())
    assert fleet.executor("a")._strategy.restored == kept


async def test_what_an_earlier_process_kept_is_handed_over(rig):
    rig.fleet = rig.new_fleet({"a": {"memory": {"seen": 41}}})
    rig.connect(rig.reconciler)
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("a")))
    await rig.fleet.start()
    await reaches(rig, "a", AnalysisState.ANALYZING)
    assert rig.fleet.executor("a")._strategy.restored == {"seen": 41}


async def test_nothing_is_kept_of_a_strategy_that_is_not_in_the_file(rig, fleet):
    await put_in_force(rig, wanted("a"), wanted("b"))
    await reaches(rig, "a", AnalysisState.ANALYZING)
    await put_in_force(rig, wanted("b"))
    assert set(fleet.standings()) <= {"b"}


def test_a_strategys_failure_to_be_configured_needs_a_person():
    assert issubclass(StateFileRefused, Misconfigured)
