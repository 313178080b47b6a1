"""The drop copy on disk: as it was told, once, with how far it is complete."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.account_log import LogEntry
from vigil.ledger.account_log import ACCOUNT_LOG, FILLS, Searched, _entry, _row
from vigil.ledger.queries import sql
from vigil.ledger.runs import ReconciliationRun

NAME = "BTC_USDC-PERPETUAL"


def entry(user_seq=1, **changes):
    return LogEntry(
        **{
            "entry_id": 900 + user_seq,
            "user_seq": user_seq,
            "currency": "USDC",
            "timestamp_ms": 1_000 + user_seq,
            "entry_type": "trade",
            "change": D("-0.35"),
            "balance": D("99.65"),
            "instrument_name": NAME,
            "trade_id": f"USDC-{user_seq}",
        }
        | changes
    )


def until(ms, since=0):
    return Searched(since_ms=since, complete_ms=ms)


MONEY = st.none() | st.decimals(-(10**12), 10**12, places=10, allow_nan=False)
WORDS = st.none() | st.text(max_size=20).filter(lambda text: "\x00" not in text)


@given(
    money=st.lists(MONEY, min_size=14, max_size=14),
    words=st.lists(WORDS, min_size=4, max_size=4),
    entry_type=st.sampled_from(["trade", "settlement", "socialized fund", "never heard of"]),
    is_profit_cashflow=st.booleans(),
)
def test_an_entry_reads_back_exactly(world, money, words, entry_type, is_profit_cashflow):
    one = entry(
        entry_type=entry_type,
        cashflow=money[0],
        equity=money[1],
        amount=money[2],
        contracts=money[3],
        position=money[4],
        price=money[5],
        mark_price=money[6],
        index_price=money[7],
        settlement_price=money[8],
        commission=money[9],
        session_rpl=money[10],
        session_upl=money[11],
        interest_pl=money[12],
        total_interest_pl=money[13],
        instrument_name=words[0],
        price_currency=words[1],
        trade_id=words[2],
        order_id=words[3],
        side="close sell",
        is_profit_cashflow=is_profit_cashflow,
        info='{"note": "told so"}',
    )
    world.execute("BEGIN")
    world.execute(sql("account_log.insert"), _row(one))
    stored = world.execute(sql("account_log.tail"), {"currency": "USDC"}).fetchone()
    world.execute("ROLLBACK")
    assert _entry(stored) == one


async def test_what_is_told_twice_is_kept_once_and_as_it_was_first(ledger):
    log = ledger.account_log
    await log.store("USDC", [entry(1), entry(2)], until(5))
    await log.store("USDC", [entry(2, balance=D(7)), entry(3)], until(6))
    assert [one.user_seq for one in await log.since(0)] == [1, 2, 3]
    assert (await log.since(0))[1] == entry(2)
    assert await log.tail("USDC") == entry(3)
    assert await log.tail("BTC") is None


async def test_numbers_are_unique_within_a_currency_only(ledger):
    await ledger.account_log.store("USDC", [entry(1)], until(5))
    await ledger.account_log.store("BTC", [entry(1, currency="BTC")], until(5))
    assert len(await ledger.account_log.since(0)) == 2


async def test_executions_of_which_no_fill_is_known_are_told(ledger, make):
    await ledger.account_log.store(
        "USDC",
        [entry(1), entry(2), entry(3, entry_type="delivery"), entry(4, instrument_name="X")],
        until(9_999),
    )
    assert await ledger.account_log.trades_without_fill(NAME, 0) == {"USDC-1", "USDC-2"}
    assert await ledger.account_log.trades_without_fill(NAME, 1_002) == {"USDC-2"}
    await ledger.apply_fills([make.fill(2)])
    assert await ledger.account_log.trades_without_fill(NAME, 0) == {"USDC-1"}


@pytest.mark.parametrize(
    ("entries", "is_strange"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([entry(2)], False, id="an execution that is known"),
        pytest.param([entry(2), entry(3)], True, id="one that is not"),
        pytest.param([entry(2), entry(3, timestamp_ms=999)], False, id="one from before"),
        pytest.param([entry(3, instrument_name="X")], False, id="one in another instrument"),
        pytest.param([entry(3, entry_type="settlement", trade_id=None)], False, id="a settlement"),
        pytest.param([entry(3, entry_type="delivery", trade_id=None)], True, id="a delivery"),
        pytest.param([entry(3, entry_type="never heard of")], True, id="a strange word"),
        pytest.param([entry(2, trade_id=None)], True, id="an execution without a name"),
        pytest.param([entry(2, entry_type="correction")], True, id="more of a known execution"),
    ],
)
async def test_what_could_have_moved_a_position_unknown_to_us_is_told(
    ledger, make, entries, is_strange
):
    await ledger.apply_fills([make.fill(2)])
    await ledger.account_log.store("USDC", entries)
    assert await ledger.account_log.has_strange(NAME, 1_000) is is_strange
    assert await ledger.account_log.searched(ACCOUNT_LOG) == {}


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param((10, 20), (15, 30), (10, 30), id="goes on"),
        pytest.param((10, 20), (20, 30), (10, 30), id="touches"),
        pytest.param((10, 20), (5, 30), (5, 30), id="reaches back"),
        pytest.param((10, 20), (25, 30), (25, 30), id="a hole between begins it anew"),
        pytest.param((10, 20), (5, 15), (5, 15), id="the clock went back"),
    ],
)
async def test_a_search_is_complete_as_far_as_its_parts_touch(ledger, first, second, kept):
    for since_ms, complete_ms in (first, second):
        await ledger.account_log.store("USDC", [], until(complete_ms, since_ms))
    assert await ledger.account_log.searched(ACCOUNT_LOG) == {"USDC": until(kept[1], kept[0])}
    assert await ledger.account_log.searched(FILLS) == {}


async def test_how_far_fills_were_searched_is_on_disk_with_the_pass(open_ledger):
    ledger = await open_ledger()
    run = ReconciliationRun(started_ms=1, finished_ms=2, trigger="demand", outcome="skipped")
    await ledger.record_reconciliation(run, {"USDC": until(70, 10), "BTC": until(80, 20)})
    await ledger.record_reconciliation(run)
    await ledger.close()
    again = await open_ledger()
    assert await again.account_log.searched(FILLS) == {"USDC": until(70, 10), "BTC": until(80, 20)}
    assert len(await again.reconciliation_runs()) == 2


async def test_the_newest_fill_of_each_currency_is_found(ledger, make):
    assert await ledger.newest_fills() == {}
    await ledger.apply_fills(
        [
            make.fill(1),
            make.fill(2, timestamp_ms=99_000, instrument_name="ETH_USDC-PERPETUAL"),
            make.fill(3, instrument_name="BTC-PERPETUAL", fee_currency="BTC"),
        ]
    )
    newest = await ledger.newest_fills()
    assert {currency: fill.trade_id for currency, fill in newest.items()} == {
        "USDC": "USDC-2",
        "BTC": "USDC-3",
    }
