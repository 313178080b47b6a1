"""Events to their receivers, and what they make of the right to trade."""

import pytest

from rig import LINEAR
from vigil.deribit.link import Unheard
from vigil.domain.events import SessionLost, SessionOpened
from vigil.ledger.runs import ReconciliationRun

NOT_RECONCILED = "not reconciled since the session opened"


def a_pass(outcome):
    reason = None if outcome == "ok" else "the exchange did not say"
    return ReconciliationRun(
        started_ms=0, finished_ms=1, trigger="demand", outcome=outcome, reason=reason
    )


@pytest.fixture
def dispatch(rig):
    """The rig's, where the test says what the session says."""
    return rig.dispatch


async def test_a_session_alone_gives_no_right_to_trade(rig):
    assert rig.dispatch.first_session.is_set()
    assert rig.authority.refusal is not None
    await rig.reconcile()
    assert rig.authority.refusal is None
    assert rig.dispatch.first_pass.is_set()


STORIES = [
    pytest.param([("pass", "ok")], None, id="a good pass"),
    pytest.param([("pass", "skipped")], "not reconciled since the start", id="a skipped pass"),
    pytest.param(
        [("pass", "ok"), ("pass", "skipped"), ("pass", "skipped")],
        None,
        id="two skipped passes take no right away",
    ),
    pytest.param(
        [("pass", "ok"), *[("pass", "skipped")] * 3],
        "3 reconciliations in a row failed: the exchange did not say",
        id="three skipped passes in a row do",
    ),
    pytest.param(
        [("pass", "ok"), *[("pass", "skipped")] * 3, ("pass", "ok")],
        None,
        id="a good pass gives it back",
    ),
    pytest.param(
        [
            ("pass", "ok"),
            ("pass", "skipped"),
            ("pass", "skipped"),
            ("pass", "ok"),
            ("pass", "skipped"),
        ],
        None,
        id="skipped passes that are not in a row take no right away",
    ),
    pytest.param([("pass", "ok"), ("lost", 1)], "no session: cut", id="a lost session"),
    pytest.param([("pass", "ok"), ("lost", 1), ("opened", 2)], NOT_RECONCILED, id="a new session"),
    pytest.param(
        [("pass", "ok"), ("lost", 1), ("opened", 2), ("pass", "skipped")],
        NOT_RECONCILED,
        id="a new session and a skipped pass",
    ),
    pytest.param(
        [("pass", "ok"), ("lost", 1), ("opened", 2), ("pass", "ok")],
        None,
        id="a new session and a good pass",
    ),
    pytest.param(
        [("lost", 1), ("late pass", "ok")],
        "not reconciled since the start",
        id="a pass that ended after its session",
    ),
    pytest.param(
        [("pass", "ok"), ("lost", 1), ("late pass", "ok"), ("opened", 2)],
        NOT_RECONCILED,
        id="a pass of the old session is none of the new",
    ),
]


@pytest.mark.parametrize(("story", "refusal"), STORIES)
async def test_the_right_to_trade_follows_session_and_passes(dispatch, rig, story, refusal):
    for what, value in story:
        match what:
            case "pass":
                dispatch.take_pass(a_pass(value), is_live=True)
            case "late pass":
                dispatch.take_pass(a_pass(value), is_live=False)
            case "lost":
                dispatch.take(SessionLost(epoch=value, reason="cut"))
            case "opened":
                dispatch.take(SessionOpened(epoch=value))
    assert rig.authority.refusal == refusal


async def test_nothing_is_opened_while_the_exchanges_history_is_in_question(dispatch, rig):
    """Whatever passes and sessions come meanwhile. FAULTS E37."""
    dispatch.take_pass(a_pass("ok"), is_live=True)
    dispatch.take_history("entry 7 is gone")
    dispatch.take_pass(a_pass("ok"), is_live=True)
    assert rig.authority.refusal == "entry 7 is gone"
    dispatch.take_history(None)
    assert rig.authority.refusal is None


async def test_a_new_session_asks_for_a_pass_by_its_own_name(dispatch, rig):
    causes = []
    rig.reconciler.request = causes.append
    dispatch.take(SessionOpened(epoch=1))
    dispatch.take(SessionOpened(epoch=2))
    assert causes == ["start", "reconnect"]


async def test_what_could_not_be_read_is_asked_for(dispatch, rig):
    causes = []
    rig.reconciler.request = causes.append
    dispatch.take_unreadable(Unheard(epoch=1, channel="user.trades.any.any.raw", reason="odd"))
    assert causes == ["unreadable"]


async def test_a_pass_of_the_last_session_gives_no_right_in_the_next(rig, monkeypatch):
    """It had ended, and its record took so long that another session had opened by then."""
    record = rig.ledger.record_reconciliation

    async def slowly(*args):
        await rig.drop_session()
        return await record(*args)

    monkeypatch.setattr(rig.ledger, "record_reconciliation", slowly)
    await rig.reconcile()
    assert rig.authority.refusal == NOT_RECONCILED


async def test_quotes_go_to_the_fleet_and_news_of_the_account_to_its_stream(rig):
    quotes, news = [], []
    rig.fleet.quote = quotes.append
    rig.account.put = news.append
    await rig.client.watch([LINEAR])
    await rig.person.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
    await rig.until(lambda: quotes and news)
    assert {ticker.instrument_name for ticker in quotes} == {LINEAR}


async def test_a_cut_line_takes_the_right_away_until_the_next_good_pass(rig):
    await rig.reconcile()
    await rig.drop_session()
    assert rig.authority.refusal == NOT_RECONCILED
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    await rig.reconcile()
    assert rig.authority.refusal == NOT_RECONCILED
    await rig.reconcile()
    assert rig.authority.refusal is None
