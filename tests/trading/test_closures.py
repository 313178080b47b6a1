"""Locks and maintenance: what is heard, read and refused, and what may be opened because of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.events import AccountLockReceived, PlatformStateReceived
from vigil.domain.instrument import Instrument, Kind
from vigil.domain.market import PlatformStatus
from vigil.domain.portfolio import AccountLock
from vigil.trading.closures import (
    ALL_CURRENCIES,
    ANNOUNCED_MS,
    BREAK_MS_MIN,
    REFUSAL_REST_MS,
    REFUSAL_REST_MS_MAX,
    ClosureKind,
    Closures,
    Place,
    Scope,
    place_of,
    place_of_name,
)

NOW_MS = 1_000_000
LINEAR, INVERSE = place_of_name("BTC_USDC-PERPETUAL"), place_of_name("BTC-PERPETUAL")
ETHER = place_of_name("ETH_USDC-PERPETUAL")
PLACES = {"linear": LINEAR, "inverse": INVERSE, "ether": ETHER}
OPEN = PlatformStatus(is_locked=False)
FREE = (AccountLock(currency="BTC", is_locked=False), AccountLock(currency="USDC", is_locked=False))
MAINTENANCE, PLATFORM = ClosureKind.MAINTENANCE, ClosureKind.PLATFORM_LOCKED
ACCOUNT, AFTERWARDS = ClosureKind.ACCOUNT_LOCKED, ClosureKind.NOT_RECONCILED

QUIET = Closures().read(OPEN, FREE, NOW_MS)


def index(name, is_locked=True):
    return PlatformStateReceived(price_index=name, is_locked=is_locked)


def account(currency, is_locked=True):
    return AccountLockReceived(currency=currency, is_locked=is_locked)


ANNOUNCEMENT = PlatformStateReceived(price_index=None, is_locked=False, is_maintenance=True)
CALLED_OFF = PlatformStateReceived(price_index=None, is_locked=False)


def after(known, *events, now_ms=NOW_MS):
    for event in events:
        is_platform = isinstance(event, PlatformStateReceived)
        hear = known.heard_platform if is_platform else known.heard_account
        known = hear(event, now_ms)
    return known


def against(known):
    """Where nothing may be opened, and why."""
    found = {name: known.against(place) for name, place in PLACES.items()}
    return {name: closure.kind for name, closure in found.items() if closure is not None}


def everywhere(kind):
    return dict.fromkeys(PLACES, kind)


def test_before_the_exchange_was_asked_nothing_is_opened_anywhere():
    assert against(Closures()) == everywhere(ClosureKind.LOCKS_UNREAD)
    assert against(QUIET) == {}
    assert QUIET.is_quiet
    assert not Closures().is_quiet


@pytest.mark.fault("E6", "E31")
@pytest.mark.parametrize(
    ("events", "closed"),
    [
        pytest.param([index("btc_usdc")], {"linear": PLATFORM}, id="one index"),
        pytest.param([index("btc_usd")], {"inverse": PLATFORM}, id="the other index"),
        pytest.param([index("sol_usd")], {}, id="an index of nobody here"),
        pytest.param([index(None)], everywhere(PLATFORM), id="the platform"),
        pytest.param([ANNOUNCEMENT], everywhere(MAINTENANCE), id="maintenance"),
        pytest.param([account("BTC")], {"inverse": ACCOUNT}, id="one currency"),
        pytest.param([account("USDC")], {"linear": ACCOUNT, "ether": ACCOUNT}, id="the other"),
        pytest.param([account(ALL_CURRENCIES)], everywhere(ACCOUNT), id="every currency"),
        pytest.param(
            [index("btc_usdc"), index("btc_usdc", is_locked=False)],
            {"linear": AFTERWARDS},
            id="an index that is open again",
        ),
        pytest.param(
            [account("BTC"), account("BTC", is_locked=False)],
            {"inverse": AFTERWARDS},
            id="a currency that is free again",
        ),
        pytest.param([ANNOUNCEMENT, CALLED_OFF], everywhere(AFTERWARDS), id="called off"),
        pytest.param(
            [ANNOUNCEMENT, index("btc_usdc", is_locked=False)],
            everywhere(MAINTENANCE),
            id="an open index says nothing of the maintenance to come",
        ),
        pytest.param(
            [account("BTC"), account("USDC", is_locked=False)],
            {"inverse": ACCOUNT},
            id="freed elsewhere",
        ),
        pytest.param([index("btc_usdc", is_locked=False)], {}, id="open as ever"),
    ],
)
def test_what_is_heard_closes_what_it_names(events, closed):
    assert against(after(QUIET, *events)) == closed


@pytest.mark.fault("E6")
@pytest.mark.parametrize(
    ("heard", "status", "closed"),
    [
        pytest.param([], PlatformStatus(is_locked=True), everywhere(PLATFORM), id="all of it"),
        pytest.param(
            [],
            PlatformStatus(
                is_locked=False, is_partly_locked=True, locked_indices=frozenset({"btc_usd"})
            ),
            {"inverse": PLATFORM},
            id="in part",
        ),
        pytest.param(
            [],
            PlatformStatus(is_locked=False, is_partly_locked=True),
            everywhere(PLATFORM),
            id="in part, and nobody says where",
        ),
        pytest.param(
            [index("btc_usdc")],
            PlatformStatus(is_locked=False, is_partly_locked=True),
            {"linear": PLATFORM},
            id="in part, where it was heard",
        ),
        pytest.param([index("btc_usdc")], OPEN, {"linear": AFTERWARDS}, id="missed the release"),
        pytest.param([], None, {}, id="will not say"),
        pytest.param([index("btc_usdc")], None, {"linear": PLATFORM}, id="will not say, was heard"),
    ],
)
def test_a_reading_of_the_platform_replaces_what_was_heard(heard, status, closed):
    assert against(after(QUIET, *heard).read(status, FREE, NOW_MS)) == closed


@pytest.mark.fault("E31")
@pytest.mark.parametrize(
    ("locks", "closed"),
    [
        pytest.param({"BTC": True, "USDC": False}, {"inverse": ACCOUNT}, id="one"),
        pytest.param({"BTC": True, "USDC": True}, everywhere(ACCOUNT), id="all that are listed"),
        pytest.param({"ALL": True}, everywhere(ACCOUNT), id="all in one word"),
        pytest.param({"BTC": True}, {"inverse": ACCOUNT}, id="one, and only that is listed"),
        pytest.param({"BTC": False}, {}, id="free"),
        pytest.param({}, {}, id="nothing listed"),
    ],
)
def test_a_reading_of_the_account_replaces_what_was_heard(locks, closed):
    told = tuple(AccountLock(currency=name, is_locked=is_) for name, is_ in locks.items())
    heard = after(Closures(), account("DOGE"))
    known = heard.read(OPEN, told, NOW_MS).reconciled(NOW_MS + 1)
    assert against(known) == closed


def test_a_new_session_is_asked_before_anything_is_opened_and_forgets_nothing_meanwhile():
    known = after(QUIET, index("btc_usdc")).opened(NOW_MS)
    assert against(known) == everywhere(ClosureKind.LOCKS_UNREAD)
    assert known.shuts(LINEAR) is not None
    assert against(known.read(OPEN, FREE, NOW_MS)) == {"linear": AFTERWARDS}


def test_after_a_closure_a_pass_that_began_later_opens_again():
    known = after(QUIET, index("btc_usdc"), now_ms=NOW_MS)
    known = after(known, index("btc_usdc", is_locked=False), now_ms=NOW_MS + 10)
    assert against(known.reconciled(NOW_MS + 9)) == {"linear": AFTERWARDS}
    assert known.reconciled(NOW_MS + 10).is_quiet, "asked for by the news, and at once"


def test_what_closes_again_before_that_is_closed_and_not_awaiting():
    known = after(QUIET, index("btc_usdc"), index("btc_usdc", is_locked=False), index("btc_usdc"))
    assert against(known.reconciled(NOW_MS + 99)) == {"linear": PLATFORM}


@pytest.mark.fault("E6")
def test_an_announced_maintenance_ends_with_the_session_that_it_ended_or_in_time():
    known = after(QUIET, ANNOUNCEMENT)
    soon, late = NOW_MS + ANNOUNCED_MS - 1, NOW_MS + ANNOUNCED_MS
    assert against(known.read(OPEN, FREE, soon)) == everywhere(MAINTENANCE)
    assert against(known.read(OPEN, FREE, late)) == everywhere(AFTERWARDS)
    hasty, back = NOW_MS + BREAK_MS_MIN - 1, NOW_MS + BREAK_MS_MIN
    assert against(known.opened(hasty).read(OPEN, FREE, hasty)) == everywhere(MAINTENANCE)
    assert against(known.opened(hasty).read(OPEN, FREE, back)) == everywhere(AFTERWARDS)


@pytest.mark.fault("E31")
def test_a_lock_that_only_a_refusal_told_outlasts_clear_readings_and_longer_each_time():
    known, now_ms, rests_ms = QUIET, NOW_MS, []
    for _ in range(7):
        known = known.refused(ACCOUNT, INVERSE, "11098 account_locked", now_ms)
        (hold,) = known.holds.values()
        rests_ms.append(hold.until_ms - now_ms)
        assert against(known.read(OPEN, FREE, hold.until_ms - 1)) == {"inverse": ACCOUNT}
        assert known.read(OPEN, FREE, hold.until_ms - 1) == known
        now_ms = hold.until_ms
        known = known.read(OPEN, FREE, now_ms)
        assert against(known) == {"inverse": AFTERWARDS}
        known = known.reconciled(now_ms + 1)
        assert against(known) == {}
    assert rests_ms[:3] == [REFUSAL_REST_MS, 2 * REFUSAL_REST_MS, 4 * REFUSAL_REST_MS]
    assert rests_ms[-1] == max(rests_ms) == REFUSAL_REST_MS_MAX
    much_later = now_ms + 7_200_000
    assert known.read(OPEN, FREE, much_later).holds == {}
    again = known.refused(ACCOUNT, INVERSE, "11098 account_locked", much_later)
    assert [hold.strikes for hold in again.holds.values()] == [1]


def test_refusals_while_the_lock_is_known_change_nothing():
    known = QUIET.refused(ACCOUNT, INVERSE, "10072", NOW_MS)
    assert known.refused(ACCOUNT, INVERSE, "10072", NOW_MS + 5) is known
    locked = after(QUIET, index("btc_usd"))
    assert locked.refused(ACCOUNT, INVERSE, "10019 locked_by_admin", NOW_MS) is locked


@pytest.mark.parametrize("currency", ["BTC", ALL_CURRENCIES])
def test_an_unlocking_that_is_heard_ends_what_a_refusal_had_told(currency):
    known = QUIET.refused(ACCOUNT, INVERSE, "11098", NOW_MS)
    assert against(after(known, account("USDC", is_locked=False))) == {"inverse": ACCOUNT}
    assert against(after(known, account(currency, is_locked=False))) == {"inverse": AFTERWARDS}


def test_maintenance_told_by_a_refusal_is_everywhere():
    known = QUIET.refused(MAINTENANCE, INVERSE, "11051 system_maintenance", NOW_MS)
    assert against(known) == everywhere(MAINTENANCE)
    assert known.standing == {Scope(MAINTENANCE): "an order was refused: 11051 system_maintenance"}


def test_the_words_name_the_place():
    known = after(QUIET, index("btc_usdc"), account("BTC"), account(ALL_CURRENCIES))
    assert list(known.standing.values()) == [
        "trading on btc_usdc is locked",
        "the account is locked in every currency",
        "the account is locked in BTC",
    ]


@pytest.mark.parametrize(
    ("name", "price_index", "currency"),
    [
        ("BTC-PERPETUAL", "btc_usd", "BTC"),
        ("BTC_USDC-PERPETUAL", "btc_usdc", "USDC"),
        ("ETH-26JUN26-2500-C", "eth_usd", "ETH"),
        ("SOL_USDC-25DEC26", "sol_usdc", "USDC"),
    ],
)
def test_an_instruments_name_says_where_its_orders_go(name, price_index, currency):
    assert place_of_name(name) == Place(price_index=price_index, currency=currency)


def test_an_instruments_own_index_goes_before_its_name():
    instrument = Instrument(
        instrument_name="BTC-PERPETUAL",
        kind=Kind.FUTURE,
        is_linear=False,
        base_currency="BTC",
        quote_currency="USD",
        settlement_currency="BTC",
        contract_size=10,
        min_trade_amount=10,
        tick_size=1,
        price_index="other_usd",
    )
    assert place_of(instrument).price_index == "other_usd"
    assert place_of(replace(instrument, price_index="")).price_index == "btc_usd"


EVENTS = st.one_of(
    st.builds(index, st.sampled_from(["btc_usd", "btc_usdc", "eth_usdc", None]), st.booleans()),
    st.builds(account, st.sampled_from(["BTC", "USDC", ALL_CURRENCIES]), st.booleans()),
    st.just(ANNOUNCEMENT),
    st.just(CALLED_OFF),
)


@given(st.lists(EVENTS, max_size=12))
def test_whatever_was_heard_a_clear_reading_in_a_new_session_and_a_pass_open_everything(events):
    known = QUIET
    for step, event in enumerate(events):
        known = after(known, event, now_ms=NOW_MS + step)
    now_ms = NOW_MS + len(events) + BREAK_MS_MIN
    known = known.opened(now_ms).read(OPEN, FREE, now_ms)
    assert known.standing == {}
    assert known.reconciled(now_ms + 1).is_quiet


@given(st.lists(EVENTS, max_size=12))
def test_nothing_opens_between_a_closure_and_the_pass_after_it(events):
    known, were_closed = QUIET, set()
    for event in events:
        known = after(known, event)
        were_closed |= against(known).keys()
        assert against(known).keys() == were_closed
