"""The drop copy: read seldom, kept whole, and believed when it says that history is another."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from rig import ETHER, INVERSE, LINEAR, SELL, WatchedVenue
from vigil.domain.account_log import LogEntry
from vigil.domain.money import ZERO
from vigil.ledger.account_log import ACCOUNT_LOG, Searched
from vigil.reconcile import drop_copy
from vigil.reconcile.drop_copy import DropCopy

LOG = "private/get_transaction_log"


@pytest.fixture
def often(rig, monkeypatch):
    """Read at every pass."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))


async def kept(rig):
    return {(one.currency, one.user_seq) for one in await rig.ledger.account_log.since(0)}


def at_exchange(rig):
    """The venue's own log of the currencies that hold cash."""
    return {(row.currency, row.user_seq) for row in rig.venue.exchange.books.log}


def readings(rig):
    return rig.venue.methods().count(LOG)


async def test_all_that_happened_is_in_the_drop_copy_in_every_currency(rig, often):
    await rig.reconcile()
    await rig.enter()
    await rig.enter(INVERSE, SELL)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.reconcile()
    assert at_exchange(rig) <= await kept(rig)
    assert {currency for currency, _ in await kept(rig)} == {"BTC", "USDC"}
    for one in await rig.ledger.account_log.since(0):
        assert one.entry_type == "trade"
    before = rig.sql("SELECT * FROM account_log")
    await rig.reconcile()
    assert rig.sql("SELECT * FROM account_log") == before, "what is read again is kept once"
    assert await rig.incidents() == {}
    assert rig.histories == []


@pytest.mark.fault("E5")
async def test_the_log_is_read_once_an_interval_and_not_at_every_pass_or_session(rig, monkeypatch):
    """Eight calls in a burst, then one a second; 10028 would end the session. FAULTS E5."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 3_600.0)
    await rig.reconcile()
    first = readings(rig)
    assert 0 < first <= drop_copy.CURRENCIES_MAX
    for _ in range(3):
        await rig.drop_session()
        await rig.reconcile("reconnect")
    assert readings(rig) == first


async def test_a_new_session_is_a_reason_to_read_it(rig, monkeypatch):
    await rig.reconcile()
    first = readings(rig)
    await rig.drop_session()
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    await rig.reconcile("reconnect")
    assert readings(rig) == 2 * first
    await rig.reconcile()
    assert readings(rig) == 2 * first


async def test_a_fresh_process_goes_on_where_the_last_one_was(rig, often):
    await rig.enter()
    await rig.reconcile()
    searched = await rig.ledger.account_log.searched(ACCOUNT_LOG)
    await rig.supervisor.remove_child("session")
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    rig.connect(rig.new_reconciler())
    await rig.reconcile("start")
    assert at_exchange(rig) <= await kept(rig)
    again = await rig.ledger.account_log.searched(ACCOUNT_LOG)
    assert again["USDC"].since_ms == searched["USDC"].since_ms
    assert again["USDC"].complete_ms > searched["USDC"].complete_ms


async def test_a_long_absence_is_read_a_day_at_a_time(rig, often):
    await rig.enter()
    await rig.reconcile()
    rig.sql("UPDATE searches SET since_ms = 0, complete_ms = complete_ms - 86400000 * 6")
    rig.sql("DELETE FROM account_log")
    asked = readings(rig)
    rig.connect(rig.new_reconciler(0.0))
    await rig.reconcile()
    days = drop_copy.SLICES_MAX
    assert readings(rig) - asked <= days * drop_copy.CURRENCIES_MAX
    assert ("USDC", 6_001) not in await kept(rig)
    await rig.reconcile()
    assert at_exchange(rig) <= await kept(rig)


@pytest.mark.parametrize("method", [LOG, "private/get_account_summaries"])
async def test_a_log_that_cannot_be_read_leaves_a_pass_as_good_as_it_was(rig, often, method):
    rig.venue.refuse(method, 13028, "temporarily_unavailable")
    trade = await rig.enter()
    run = await rig.reconcile()
    assert (run.outcome, run.is_unsettled) == ("ok", False)
    assert rig.authority.refusal is None
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open


async def test_a_log_that_takes_too_long_is_given_up(rig, often, monkeypatch):
    monkeypatch.setattr(drop_copy, "LOG_TIMEOUT_S", 0.05)
    rig.server.faults.delay_replies(LOG, 0.5, count=5)
    assert (await rig.reconcile()).outcome == "ok"


# --- what does not add up


@pytest.fixture
async def tampered(rig, often, monkeypatch):
    """The exchange tells the log as `change` makes it."""
    await rig.reconcile()
    for method in ("private/buy", "private/sell") * 2:
        terms = {"instrument_name": LINEAR, "amount": Decimal("0.01"), "type": "market"}
        await rig.person.call(method, **terms)
    honest = rig.client.transaction_log

    def tamper(change):
        async def told(currency, start_ms, end_ms):
            return tuple(change(list(await honest(currency, start_ms, end_ms))))

        monkeypatch.setattr(rig.client, "transaction_log", told)

    return tamper


def without_6003(entries):
    return [one for one in entries if one.user_seq != 6003]


async def test_a_gap_is_told_once_a_second_reading_does_not_fill_it(rig, tampered):
    tampered(without_6003)
    await rig.reconcile()
    assert await rig.incidents() == {}, "an entry may just be late"
    await rig.reconcile()
    (incident,) = (await rig.incidents()).values()
    assert (incident.kind, incident.severity) == ("account_log_gap", "error")
    assert "entries 6003 to 6003 are missing" in incident.message
    assert rig.histories == []


async def test_an_entry_that_was_only_late_is_no_gap(rig, tampered):
    tampered(without_6003)
    await rig.reconcile()
    tampered(lambda entries: entries)
    await rig.reconcile()
    await rig.reconcile()
    assert await rig.incidents() == {}
    assert at_exchange(rig) <= await kept(rig)


async def test_a_gap_that_was_told_is_asked_for_again_and_over_once_it_is_read(
    rig, tampered, monkeypatch
):
    """Later readings begin after it; a fresh process knows of it as well."""
    monkeypatch.setattr(drop_copy, "LOG_OVERLAP_MS", 0)
    tampered(without_6003)
    for _ in range(2):
        await rig.reconcile()
    assert set(await rig.incidents()) == {"account_log_gap USDC 6002"}
    rig.connect(rig.new_reconciler(0.0))
    for _ in range(3):
        await rig.reconcile()
    assert set(await rig.incidents()) == {"account_log_gap USDC 6002"}
    searched = await rig.ledger.account_log.searched(ACCOUNT_LOG)
    tampered(lambda entries: entries)
    await rig.reconcile()
    assert await rig.incidents() == {}
    assert at_exchange(rig) <= await kept(rig)
    again = await rig.ledger.account_log.searched(ACCOUNT_LOG)
    assert again["USDC"].since_ms == searched["USDC"].since_ms
    asked = readings(rig)
    await rig.reconcile()
    assert readings(rig) - asked == len(again), "what is whole is not asked for again"


async def test_an_old_gap_waits_for_a_person(rig, tampered, monkeypatch):
    tampered(without_6003)
    for _ in range(2):
        await rig.reconcile()
    monkeypatch.setattr(drop_copy, "LOG_OVERLAP_MS", 0)
    monkeypatch.setattr(drop_copy, "SLICE_MS", 0)
    tampered(lambda entries: entries)
    await rig.reconcile()
    assert set(await rig.incidents()) == {"account_log_gap USDC 6002"}


async def test_with_many_currencies_each_has_its_turn(rig, often, monkeypatch):
    monkeypatch.setattr(drop_copy, "CURRENCIES_MAX", 1)
    for _ in range(4):
        await rig.reconcile()
    asked = [request.params["currency"] for _, request in rig.venue.asked if request.method == LOG]
    assert len(asked) == 4
    assert len(set(asked[:3])) == 3


async def test_a_stretch_that_is_too_much_at_once_is_read_in_smaller_parts(rig, often, monkeypatch):
    """A day of a busy account may take longer to read than a reading may take."""
    await rig.enter()
    await rig.reconcile()
    rig.sql("UPDATE searches SET since_ms = 0, complete_ms = complete_ms - 86400000 * 2")
    rig.sql("DELETE FROM account_log")
    rig.connect(rig.new_reconciler(0.0))
    honest, spans = rig.client.transaction_log, []

    async def slow(currency, start_ms, end_ms):
        spans.append(end_ms - start_ms)
        if end_ms - start_ms > 86_400_000 / 3:
            raise TimeoutError
        return await honest(currency, start_ms, end_ms)

    monkeypatch.setattr(rig.client, "transaction_log", slow)
    for _ in range(12):
        await rig.reconcile()
        if at_exchange(rig) <= await kept(rig):
            break
    assert at_exchange(rig) <= await kept(rig)


async def test_a_balance_that_does_not_follow_from_its_change_is_told(rig, tampered):
    def short(entries):
        return [
            replace(one, change=one.change - 1) if number == 2 else one
            for number, one in enumerate(entries)
        ]

    tampered(short)
    await rig.reconcile()
    await rig.reconcile()
    (incident,) = (await rig.incidents()).values()
    assert incident.kind == "account_log_balance"


# --- another history


async def replaced_exchange(rig):
    """The account starts anew on another exchange at the same address, as after a wipe."""
    await rig.supervisor.remove_child("session")
    await rig.server.stop()
    old = rig.server
    venue = WatchedVenue(now_ms=rig.clock.now_ms(), **rig.venue_options)
    rig.server = type(old)(venue, rig.clock, port=old.port, tick_interval_s=0.02)
    await rig.server.start()
    rig.venue = venue
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)


@pytest.mark.parametrize("has_traded_since", [False, True], ids=["empty", "with a new history"])
@pytest.mark.fault("E37")
async def test_a_wiped_account_closes_nothing_and_opens_nothing(rig, often, has_traded_since):
    """FAULTS E37."""
    trades = [await rig.enter(), await rig.enter(INVERSE, SELL)]
    rig.insert_trade(instrument=ETHER, entry_price="3300", stop_loss="3200", take_profit="3400")
    await rig.reconcile()
    ids = {trade.trade_id for trade in trades}
    assert await rig.open_ids() == ids, "the row by hand is closed while history is what it was"
    working = {row.label for row in await rig.ledger.working_orders()}
    await replaced_exchange(rig)
    if has_traded_since:
        await rig.person.call(
            "private/buy", instrument_name=LINEAR, amount=trades[0].open_amount / 2, type="market"
        )
    for _ in range(4):
        run = await rig.reconcile()
        assert run.remedies == ()
    assert await rig.open_ids() == ids
    assert {row.label for row in await rig.ledger.working_orders()} == working
    assert rig.venue.acts() == []
    assert "history_regressed USDC" in await rig.incidents()
    assert rig.histories[-1] is not None
    assert rig.authority.refusal == rig.histories[-1]


async def test_after_a_restart_a_wiped_account_is_known_again(rig, often):
    await rig.enter()
    await rig.reconcile()
    await replaced_exchange(rig)
    rig.connect(rig.new_reconciler())
    run = await rig.reconcile("start")
    assert run.remedies == ()
    assert rig.authority.refusal is not None
    assert len(await rig.open_ids()) == 1


async def test_once_history_is_back_everything_goes_on(rig, often, monkeypatch):
    """A reading from a lagging replica is no other history, for longer than it lasts."""
    trade = await rig.enter()
    await rig.reconcile()

    async def nothing(currency, start_ms, end_ms):
        return ()

    with monkeypatch.context() as sick:
        sick.setattr(rig.client, "transaction_log", nothing)
        await rig.reconcile()
        assert rig.authority.refusal is not None
        await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
        await rig.reconcile()
        assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    assert rig.authority.refusal is None
    assert rig.histories[-1] is None
    assert not (await rig.trade(trade.trade_id)).is_open
    assert await rig.incidents() == {}


async def test_doubts_are_not_concluded_while_history_is_in_question(rig, often, monkeypatch):
    await rig.enter()
    await rig.reconcile()

    async def nothing(currency, start_ms, end_ms):
        return ()

    monkeypatch.setattr(rig.client, "transaction_log", nothing)
    asked = rig.venue.methods().count("private/get_order_history_by_currency")
    rig.sql("UPDATE orders SET status = 'in_doubt', valid_until_ms = 0 WHERE role = 'entry'")
    rig.sql("UPDATE orders SET label = 'vg-s-99-1' WHERE role = 'close'")
    await rig.reconcile()
    assert rig.venue.methods().count("private/get_order_history_by_currency") == asked


def test_it_is_due_at_first_after_a_session_and_after_an_interval(rig):
    class Elapsed:
        s = 100.0

        def elapsed_s(self):
            return self.s

    clock = Elapsed()
    copy = DropCopy(ledger=rig.ledger, source=rig.client, clock=clock, interval_s=60.0)
    assert copy.is_due(1)
    copy._read_s, copy._epoch = clock.s, 1
    for later_s, epoch, is_due in (
        (0.0, 2, False),
        (drop_copy.LOG_SPACING_S - 1, 2, False),
        (drop_copy.LOG_SPACING_S, 2, True),
        (drop_copy.LOG_SPACING_S, 1, False),
        (59.0, 1, False),
        (60.0, 1, True),
    ):
        clock.s = 100.0 + later_s
        assert copy.is_due(epoch) is is_due, (later_s, epoch)


async def test_where_the_log_is_behind_a_fill_it_is_read_soon(rig):
    copy = DropCopy(ledger=rig.ledger, source=rig.client, clock=rig.clock, interval_s=3_600)
    await copy.read({"USDC"}, since_ms=rig.client.exchange_now_ms(), epoch=1)
    copy._read_s -= drop_copy.LOG_SPACING_S
    known = (await rig.ledger.account_log.searched(ACCOUNT_LOG))["USDC"]
    await copy.record_of(LINEAR, since_ms=0, until_ms=known.complete_ms)
    assert not copy.is_due(1)
    await copy.record_of(LINEAR, since_ms=0, until_ms=known.complete_ms + 1)
    assert copy.is_due(1)


# --- whether the log says that a position is over


async def judged(rig, held, *, from_ms=500, since_ms=0, **entry):
    """What a log read up to 1000 ms with this newest entry says of the position `held`."""
    trade = replace(await rig.enter(), entry_time_ms=100)
    copy = DropCopy(ledger=rig.ledger, source=rig.client, clock=rig.clock, interval_s=60)
    row = {"entry_id": 1, "user_seq": 1, "currency": "USDC", "timestamp_ms": 200}
    row |= {"entry_type": "trade", "change": ZERO, "balance": ZERO, "instrument_name": LINEAR}
    entries = [LogEntry(**(row | entry))] if entry else []
    searched = Searched(since_ms=since_ms, complete_ms=1_000)
    await rig.ledger.account_log.store("USDC", entries, searched)
    return await copy.agrees(trade, Decimal(held), from_ms=from_ms)


@pytest.mark.parametrize(
    ("held", "facts", "is_so"),
    [
        pytest.param("0", {"position": ZERO}, True, id="both say it is over"),
        pytest.param("0", {"position": Decimal("0.5")}, False, id="the log still holds it"),
        pytest.param("0.2", {"position": Decimal("0.2")}, True, id="both hold the same part"),
        pytest.param("0", {"entry_type": "correction"}, True, id="an entry without a position"),
        pytest.param(
            "0", {"entry_type": "delivery", "position": Decimal("0.5")}, True, id="delivered"
        ),
        pytest.param("0", {"position": ZERO, "from_ms": 1_001}, False, id="read too early"),
        pytest.param("0", {}, False, id="not even its entry is told"),
        pytest.param("0", {"since_ms": 101}, True, id="it began after the entry"),
    ],
)
async def test_a_position_is_over_when_the_log_does_not_deny_it(rig, held, facts, is_so):
    assert await judged(rig, held, **facts) is is_so


async def test_a_log_that_was_never_read_ends_nothing(rig):
    copy = DropCopy(ledger=rig.ledger, source=rig.client, clock=rig.clock, interval_s=60)
    assert not await copy.agrees(await rig.enter(), ZERO, from_ms=0)
