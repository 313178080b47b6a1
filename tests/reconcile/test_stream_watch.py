"""A stream that does not tell, and a session that denies what its own stream told. FAULTS N15, E20."""

import pytest

from rig import HTTP, LINEAR, SETTLE_MS
from vigil.domain.order import OrderStatus, Role
from vigil.reconcile import stream_watch


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(stream_watch, "STREAM_SETTLE_MS", 100)


def mute(rig):
    """The private stream says nothing any more; questions are answered."""
    rig.account.put = lambda event: None


async def later(rig):
    """Wait until what has happened by now should have been told."""
    from_ms = rig.client.exchange_now_ms() + 100 + SETTLE_MS
    await rig.until(lambda: rig.client.exchange_now_ms() > from_ms)


@pytest.mark.fault("N15")
async def test_a_fill_that_the_stream_did_not_tell_makes_it_suspect_once(rig):
    await rig.reconcile()
    await later(rig)
    mute(rig)
    for _ in range(2):
        await rig.person.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
    await later(rig)
    await rig.reconcile()
    (reason,) = rig.suspicions
    assert "did not tell of fill USDC-" in reason
    await rig.reconcile()
    assert len(rig.suspicions) == 1


async def test_news_of_an_order_that_the_stream_did_not_tell_makes_it_suspect(rig):
    trade = await rig.enter()
    await rig.reconcile()
    await later(rig)
    mute(rig)
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.person.call(
        "private/edit", order_id=stop.order_id, amount=stop.amount, trigger_price=90_000
    )
    await later(rig)
    await rig.reconcile()
    (reason,) = rig.suspicions
    assert f"did not tell of order {stop.order_id}" in reason


async def test_what_has_just_happened_may_still_be_on_its_way(rig, monkeypatch):
    monkeypatch.setattr(stream_watch, "STREAM_SETTLE_MS", 5_000)
    await rig.reconcile()
    mute(rig)
    await rig.person.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
    await rig.reconcile()
    assert rig.suspicions == []


async def test_what_happened_before_the_session_is_nothing_it_should_have_told(rig):
    await rig.reconcile()
    await rig.supervisor.remove_child("session")
    await rig.person.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
    await later(rig)
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    await rig.reconcile("reconnect")
    await later(rig)
    await rig.reconcile()
    assert rig.suspicions == []


async def test_a_stream_that_tells_is_never_suspected(rig):
    trade = await rig.enter()
    await later(rig)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await later(rig)
    for _ in range(3):
        await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open
    assert rig.suspicions == []


# --- the session's answers


def denying(rig, monkeypatch):
    """The session lists no orders any more."""

    async def nothing():
        return ()

    monkeypatch.setattr(rig.client, "open_orders", nothing)


@pytest.mark.fault("E20")
async def test_a_stop_that_only_the_session_denies_is_left_where_it_rests(rig, monkeypatch):
    """FAULTS E20: an error answered as an empty list must not take the protection away."""
    trade = await rig.enter()
    await rig.reconcile()
    acts, resting = rig.venue.acts(), {order.order_id for order in rig.resting()}
    with monkeypatch.context() as sick:
        denying(rig, sick)
        run = await rig.reconcile()
    assert (run.drifts, run.remedies, run.is_unsettled) == ((), (), True)
    assert rig.venue.acts() == acts
    assert {order.order_id for order in rig.resting()} == resting
    assert (await rig.rows(trade.trade_id))[Role.STOP].status is OrderStatus.UNTRIGGERED
    (reason,) = rig.suspicions
    assert "denies orders that rest" in reason
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


def denied_by_both(rig, monkeypatch):
    """Both roads list no orders any more."""

    async def nothing():
        return ()

    for reader in (rig.client, rig.witness):
        monkeypatch.setattr(reader, "open_orders", nothing)


@pytest.mark.fault("E20")
@pytest.mark.parametrize("is_first_pass", [False, True], ids=["later", "first pass"])
async def test_a_stop_that_both_roads_deny_and_that_rests_by_its_state_is_left_where_it_rests(
    rig, monkeypatch, is_first_pass
):
    """Placed again at every pass, the position would be bare for a moment each time."""
    trade = await rig.enter()
    await rig.reconcile()
    if is_first_pass:
        rig.connect(rig.new_reconciler())
    acts, resting = rig.venue.acts(), {order.order_id for order in rig.resting()}
    with monkeypatch.context() as sick:
        denied_by_both(rig, sick)
        for _ in range(3):
            run = await rig.reconcile()
            assert (run.drifts, run.remedies, run.is_unsettled) == ((), (), True)
        stop = (await rig.rows(trade.trade_id))[Role.STOP]
        assert stop.label in (await rig.incidents())["orders_denied "].message
    assert rig.venue.acts() == acts
    assert {order.order_id for order in rig.resting()} == resting
    assert rig.suspicions == [], "another session would not mend that"
    assert (await rig.reconcile()).drifts == ()
    assert await rig.incidents() == {}
    await rig.assert_agreement()


async def test_a_stop_that_no_list_shows_in_a_state_that_nobody_knows_is_left_where_it_rests(
    rig, monkeypatch
):
    await rig.enter()
    await rig.reconcile()
    acts = rig.venue.acts()
    denied_by_both(rig, monkeypatch)
    method, field = "private/get_order_state", "order_state"
    rig.server.faults.arm("mutate-reply", method=method, change="unknown-enum", field=field)
    assert (await rig.reconcile()).remedies == ()
    assert "orders_denied " in await rig.incidents()
    assert rig.venue.acts() == acts


@pytest.mark.fault("E20")
async def test_while_lists_are_empty_a_stop_that_is_gone_is_placed_again_once(rig, monkeypatch):
    trade = await rig.enter()
    await rig.reconcile()
    with monkeypatch.context() as sick:
        denied_by_both(rig, sick)
        for row in (await rig.rows(trade.trade_id)).values():
            if row.status.is_resting:
                await rig.person.call("private/cancel", order_id=row.order_id)
        for _ in range(4):
            await rig.reconcile()
        assert len(rig.resting()) == 2
        assert rig.venue.acts().count("private/sell") == 1
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_stop_of_which_nobody_can_say_a_state_is_placed_again(rig, monkeypatch):
    trade = await rig.enter()
    await rig.reconcile()
    mute(rig)
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.person.call("private/cancel", order_id=stop.order_id)
    rig.venue.refuse("private/get_order_state", 13028, "temporarily_unavailable")
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_stop_that_both_roads_deny_is_placed_again(rig, monkeypatch):
    trade = await rig.enter()
    await rig.reconcile()
    mute(rig)
    for row in (await rig.rows(trade.trade_id)).values():
        if row.status.is_resting:
            await rig.person.call("private/cancel", order_id=row.order_id)
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_witness_that_cannot_be_asked_ends_no_order_but_lets_protection_be_added(
    rig, monkeypatch
):
    trade = await rig.enter()
    await rig.reconcile()
    mute(rig)
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    target = (await rig.rows(trade.trade_id))[Role.TARGET]
    for row in (stop, target):
        await rig.person.call("private/cancel", order_id=row.order_id)
    rig.venue.refuse("private/get_open_orders", 13028, "temporarily_unavailable", road=HTTP)
    run = await rig.reconcile()
    assert run.is_unsettled
    assert "rests in the ledger only" not in " ".join(run.drifts)
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()


async def test_in_the_first_pass_of_a_session_absence_contradicts_nobody(rig):
    """What was cancelled while nobody listened is not told by any stream: no witness is needed."""
    trade = await rig.enter()
    await rig.reconcile()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.supervisor.remove_child("session")
    await rig.person.call("private/cancel", order_id=stop.order_id)
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    await rig.reconcile("reconnect")
    assert "private/get_open_orders" not in rig.venue.methods(HTTP)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_what_only_the_witness_says_concludes_nothing(rig):
    """The socket's reading failed, HTTP would say that the position is gone."""
    trade = await rig.enter()
    await rig.reconcile()
    mute(rig)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    run = await rig.reconcile()
    assert run.outcome == "skipped"
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open
