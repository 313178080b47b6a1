"""Searching on from where the last search ended, whoever made it, and noticing what is gone."""

import pytest

from rig import ETHER, INVERSE, LINEAR, LOT, SELL
from vigil.deribit.outcome import Unknown
from vigil.domain.order import Role
from vigil.ledger.account_log import FILLS
from vigil.reconcile import fill_search
from vigil.trading.execution import Author

DAY_MS = 86_400_000
BY_TIME = "private/get_user_trades_by_currency_and_time"


def searches(rig, sent, currency="USDC"):
    return [
        request.params["start_timestamp"]
        for _, request in rig.venue.asked[sent:]
        if request.method == BY_TIME and request.params["currency"] == currency
    ]


async def restarted(rig):
    """As after a restart: what the old reconciler remembered is gone."""
    rig.connect(rig.new_reconciler())
    return len(rig.venue.asked)


async def test_how_far_each_currency_was_searched_outlives_the_process(rig):
    await rig.reconcile()
    run = await rig.reconcile()
    known = await rig.ledger.account_log.searched(FILLS)
    assert set(known) == {"USDC", "BTC"}
    assert all(one.complete_ms >= run.started_ms for one in known.values())
    sent = await restarted(rig)
    await rig.reconcile("start")
    overlap_ms = fill_search.OVERLAP_MS
    assert min(searches(rig, sent)) == known["USDC"].complete_ms - overlap_ms
    assert min(searches(rig, sent, "BTC")) == known["BTC"].complete_ms - overlap_ms


async def test_a_pass_that_was_skipped_has_searched_all_the_same(rig):
    await rig.reconcile()
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    run = await rig.reconcile()
    assert run.outcome == "skipped"
    known = await rig.ledger.account_log.searched(FILLS)
    assert known["USDC"].complete_ms >= run.started_ms


async def test_each_currency_goes_on_from_its_own_end(rig):
    """One of them was not in play for days; the other was searched a moment ago."""
    await rig.reconcile()
    rig.sql("UPDATE searches SET since_ms = 0, complete_ms = complete_ms - ? * 5", DAY_MS)
    rig.sql("UPDATE searches SET complete_ms = complete_ms + ? * 5 WHERE currency = 'BTC'", DAY_MS)
    sent = await restarted(rig)
    await rig.reconcile("start")
    now_ms = rig.client.exchange_now_ms()
    assert now_ms - min(searches(rig, sent)) > 5 * DAY_MS
    assert now_ms - min(searches(rig, sent, "BTC")) < DAY_MS


async def test_a_ledger_that_never_kept_it_goes_on_from_the_last_good_pass(rig):
    await rig.reconcile()
    rig.sql("DELETE FROM searches")
    rig.sql("UPDATE reconciliation_runs SET started_ms = started_ms - ? * 2", DAY_MS)
    sent = await restarted(rig)
    await rig.reconcile("start")
    assert rig.client.exchange_now_ms() - min(searches(rig, sent)) > 2 * DAY_MS


async def test_the_currency_of_an_order_in_doubt_is_in_play_though_no_strategy_trades_it(rig):
    """The strategy was removed from the file while its entry was in doubt."""
    approved = await rig.approved(INVERSE, SELL)
    rig.venue.refuse("private/sell", 13028, "temporarily_unavailable")
    author = Author(strategy_id="s", strategy_name="Scripted")
    outcome = await rig.desk.enter(approved, instrument_name=INVERSE, author=author)
    assert isinstance(outcome, Unknown)
    one = rig.new_reconciler()
    one._passes._fills._instrument_names = lambda: ()
    rig.connect(one)
    sent = len(rig.venue.asked)
    await rig.reconcile()
    assert searches(rig, sent, "BTC")
    assert not searches(rig, sent, "USDC")


async def test_an_order_whose_executions_did_not_show_is_searched_from_every_time(rig):
    """Its strategy was removed from the file, so that nothing else has its currency in play."""
    approved = await rig.approved(INVERSE, SELL)
    rig.venue.refuse("private/sell", 13028, "temporarily_unavailable")
    author = Author(strategy_id="s", strategy_name="Scripted")
    await rig.desk.enter(approved, instrument_name=INVERSE, author=author)
    rig.sql("UPDATE orders SET status = 'failed', valid_until_ms = valid_until_ms - ?", DAY_MS)
    rig.sql("UPDATE orders SET status = 'filled', filled_amount = amount WHERE role = 'entry'")
    rig.sql("UPDATE orders SET exchange_ms = ?", rig.client.exchange_now_ms())
    (valid_until_ms,) = rig.sql("SELECT valid_until_ms FROM orders WHERE role = 'entry'")[0]
    one = rig.new_reconciler()
    one._passes._fills._instrument_names = lambda: ()
    rig.connect(one)
    for _ in range(2):
        sent = len(rig.venue.asked)
        assert (await rig.reconcile()).is_unsettled
        assert min(searches(rig, sent, "BTC")) == valid_until_ms - fill_search.OVERLAP_MS
    rig.sql("UPDATE orders SET filled_amount = '0'")
    assert not (await rig.reconcile()).is_unsettled


async def test_what_happened_in_a_gap_is_found_in_every_currency(rig):
    held = [await rig.enter(), await rig.enter(INVERSE, SELL), await rig.enter(ETHER)]
    await rig.reconcile()
    await rig.supervisor.remove_child("session")
    for name in (LINEAR, INVERSE):
        await rig.person.call("private/close_position", instrument_name=name, type="market")
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    await rig.reconcile("reconnect")
    assert await rig.open_ids() == {held[2].trade_id}
    for trade, name in zip(held[:2], (LINEAR, INVERSE), strict=True):
        assert (await rig.trade(trade.trade_id)).pnl == await rig.exchange_pnl(name)


# --- an order that filled, and whose executions do not show


def now_lacks_fills(rig, *, heard_ago_ms):
    """As if the exchange had said of the entry that more was filled than its executions make."""
    rig.sql(
        "UPDATE orders SET filled_amount = '9', valid_until_ms = valid_until_ms - ?,"
        " exchange_ms = exchange_ms - ? WHERE role = 'entry'",
        30 * DAY_MS,
        heard_ago_ms,
    )


async def test_executions_that_do_not_show_yet_are_searched_for_from_their_order_on(rig):
    await rig.enter()
    await rig.reconcile()
    now_lacks_fills(rig, heard_ago_ms=0)
    for _ in range(2):
        sent = len(rig.venue.asked)
        assert (await rig.reconcile()).is_unsettled
        assert rig.client.exchange_now_ms() - min(searches(rig, sent)) > 29 * DAY_MS
    assert rig.runs[-1].outcome == "ok"


async def test_executions_that_never_show_are_told_and_not_searched_for_for_ever(rig):
    """A search back to an old order is a longer one every time, and fails where it is too long."""
    trade = await rig.enter()
    await rig.reconcile()
    now_lacks_fills(rig, heard_ago_ms=2 * DAY_MS)
    sent = await restarted(rig)
    await rig.reconcile("start")
    assert rig.client.exchange_now_ms() - min(searches(rig, sent)) > 29 * DAY_MS
    sent = len(rig.venue.asked)
    run = await rig.reconcile()
    assert rig.client.exchange_now_ms() - min(searches(rig, sent)) < DAY_MS
    assert not run.is_unsettled
    entry = (await rig.rows(trade.trade_id))[Role.ENTRY]
    assert f"fills_missing {entry.label}" in await rig.incidents()
    rig.sql("UPDATE orders SET filled_amount = amount WHERE role = 'entry'")
    await rig.reconcile()
    assert await rig.incidents() == {}


async def test_executions_that_are_late_by_a_moment_are_not_told(rig):
    await rig.enter()
    now_lacks_fills(rig, heard_ago_ms=0)
    await rig.reconcile()
    assert await rig.incidents() == {}


async def test_what_protected_a_trade_goes_with_it_though_its_fills_never_showed(rig):
    """A stop that is left would take from the next position in the instrument."""
    trade = await rig.enter()
    now_lacks_fills(rig, heard_ago_ms=0)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.until_reconciled(lambda: "closed from fills" in str(rig.runs))
    assert not (await rig.trade(trade.trade_id)).is_open
    assert rig.resting() == []


# --- the newest fill that we know must still be known


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(fill_search, "ANCHOR_AGE_MS_MIN", 0)


def without_fills(rig, monkeypatch, *readers):
    async def nothing(currency, start_ms, end_ms):
        return ()

    for reader in readers:
        monkeypatch.setattr(reader, "fills_since", nothing)


async def test_each_session_goes_back_to_the_newest_fill_once(rig, at_once):
    trade = await rig.enter()
    await rig.reconcile()
    (last_ms,) = rig.sql("SELECT max(timestamp_ms) FROM fills")[0]
    rig.sql("UPDATE searches SET complete_ms = complete_ms + 3600000")
    await rig.drop_session()
    sent = await restarted(rig)
    await rig.reconcile("reconnect")
    assert min(searches(rig, sent)) <= last_ms
    assert rig.histories == []
    assert (await rig.trade(trade.trade_id)).open_amount == LOT[LINEAR]


@pytest.mark.fault("E37")
async def test_a_fill_that_is_known_nowhere_any_more_halts_and_closes_nothing(
    rig, at_once, monkeypatch
):
    """FAULTS E37, without a log to tell."""
    await rig.enter()
    await rig.reconcile()
    with monkeypatch.context() as wiped:
        without_fills(rig, wiped, rig.client, rig.witness)
        await restarted(rig)
        run = await rig.reconcile("start")
        assert run.remedies == ()
        assert "fills_lost " in await rig.incidents()
        assert "is not known to the exchange any more" in rig.authority.refusal
    await rig.reconcile()
    assert rig.histories[-1] is None
    assert await rig.incidents() == {}


async def test_a_fill_that_only_the_session_denies_is_not_lost(rig, at_once, monkeypatch):
    await rig.enter()
    await rig.reconcile()
    without_fills(rig, monkeypatch, rig.client)
    await restarted(rig)
    await rig.reconcile("start")
    assert rig.histories == []


async def test_a_witness_that_cannot_be_asked_proves_nothing_lost(rig, at_once, monkeypatch):
    await rig.enter()
    await rig.reconcile()
    without_fills(rig, monkeypatch, rig.client)
    rig.venue.refuse(BY_TIME, 13028, "temporarily_unavailable", road="http")
    await restarted(rig)
    assert (await rig.reconcile("start")).outcome == "ok"
    assert rig.histories == []
    without_fills(rig, monkeypatch, rig.witness)
    await rig.reconcile()
    assert "is not known to the exchange any more" in rig.authority.refusal, "asked again"


async def test_a_fill_that_has_just_come_is_not_asked_for_yet(rig, monkeypatch):
    """The store lags behind the stream."""
    await rig.enter()
    without_fills(rig, monkeypatch, rig.client, rig.witness)
    await restarted(rig)
    await rig.reconcile("start")
    assert rig.histories == []
