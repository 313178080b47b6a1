"""Own orders from before the wire to their end."""

import sqlite3
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import OrderStatus as S
from vigil.ledger import intents


async def test_committed_orders_are_working_until_final(ledger, make):
    await ledger.commit_orders(make.bracket())
    assert await ledger.working_orders() == make.bracket()
    await ledger.record_outcome(make.stop().label, S.CANCELLED, reason="user_request")
    assert await ledger.working_orders() == (make.entry(), make.target())
    assert len(await ledger.orders_of_trade("T1")) == 3


async def test_a_commit_is_whole_or_not_at_all(ledger, make):
    await ledger.commit_orders([make.entry(1)])
    with pytest.raises(sqlite3.IntegrityError):
        await ledger.commit_orders([make.entry(5), make.entry(1)])
    assert await ledger.order(make.entry(5).label) is None


async def test_a_child_without_its_parent_is_refused(ledger, make):
    with pytest.raises(sqlite3.IntegrityError):
        await ledger.commit_orders([make.stop()])


@pytest.mark.parametrize(
    ("status", "filled", "children"),
    [
        (S.REJECTED, 0, S.FAILED),
        (S.FAILED, 0, S.FAILED),
        (S.CANCELLED, 0, S.FAILED),
        (S.CANCELLED, 1, S.PENDING),
        (S.IN_DOUBT, 0, S.PENDING),
        (S.OPEN, 0, S.PENDING),
    ],
)
async def test_linked_orders_end_with_a_parent_that_never_traded(
    ledger, make, status, filled, children
):
    await ledger.commit_orders(make.bracket())
    if filled:
        await ledger.apply_fills([make.fill(1, make.entry())])
    await ledger.record_outcome(make.entry().label, status, reason="10009 not_enough_funds")
    stop, target = await ledger.order(make.stop().label), await ledger.order(make.target().label)
    assert (stop.status, target.status) == (children, children)


async def test_an_order_is_short_of_fills_until_they_make_what_it_filled(ledger, make):
    await ledger.commit_orders(make.bracket())
    assert await ledger.orders_short_of_fills() == ()
    filled = make.order(make.entry(), "A", S.FILLED, filled_amount=make.entry().amount)
    await ledger.apply_orders([filled])
    for number in range(3):
        assert [order.label for order in await ledger.orders_short_of_fills()] == [
            make.entry().label
        ]
        await ledger.apply_fills([make.fill(number, make.entry())])
    assert await ledger.orders_short_of_fills() == (), "a third of 0.03 thrice, to the digit"


async def test_the_exchanges_word_of_a_dead_parent_ends_its_linked_orders_too(ledger, make):
    await ledger.commit_orders(make.bracket())
    dead = make.order(make.entry(), "A", S.CANCELLED, cancel_reason="user_request")
    changed = await ledger.apply_orders([dead])
    assert [(order.label, order.status) for order in changed] == [
        (make.entry().label, S.CANCELLED),
        (make.stop().label, S.FAILED),
        (make.target().label, S.FAILED),
    ]


async def test_evidence_of_life_beats_an_earlier_proof_of_absence(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.record_outcome(make.entry().label, S.FAILED, reason="absent twice")
    (entry,) = await ledger.apply_orders([make.order(make.entry(), "A", S.OPEN)])
    assert entry.status is S.OPEN


async def test_old_news_changes_nothing(ledger, make):
    await ledger.commit_orders(make.bracket())
    filled = make.order(make.entry(), "A", S.FILLED, filled_amount=Decimal("0.03"))
    await ledger.apply_orders([filled])
    late = make.order(make.entry(), "A", S.OPEN, last_update_timestamp_ms=500)
    assert await ledger.apply_orders([late]) == ()
    doubt = await ledger.record_outcome(make.entry().label, S.IN_DOUBT, reason="timeout")
    assert (doubt.status, doubt.reason) == (S.FILLED, None)


async def test_others_orders_are_ignored(ledger, make):
    await ledger.commit_orders(make.bracket())
    foreign = make.order(make.entry(), "X", S.OPEN, label="")
    other = make.order(make.entry(), "Y", S.OPEN, label="somebody's")
    assert await ledger.apply_orders([foreign, other]) == ()


async def test_a_label_of_ours_that_the_ledger_lost_pushes_the_counter_on(ledger, make):
    unknown = make.order(make.entry(41), "X", S.OPEN)
    assert await ledger.apply_orders([unknown]) == ()
    assert ledger.next_intent_id() == 42


class TestTriggeredStop:
    async def test_both_ids_lead_to_the_label_and_the_new_one_is_current(self, ledger, make):
        await ledger.commit_orders(make.bracket())
        resting = make.order(make.stop(), "SLTS-1", S.UNTRIGGERED)
        fired = make.order(make.stop(), "SLTS-1", S.TRIGGERED, last_update_timestamp_ms=2_000)
        spawned = make.order(
            make.stop(), "USDC-7", S.OPEN, trigger_order_id="SLTS-1", label="",
            last_update_timestamp_ms=2_000,
        )  # fmt: skip
        await ledger.apply_orders([resting, spawned, fired])
        stop = await ledger.order(make.stop().label)
        assert (stop.order_id, stop.status) == ("USDC-7", S.TRIGGERED)

    async def test_its_fill_is_ours_even_without_a_label(self, ledger, make):
        await ledger.commit_orders(make.bracket())
        await ledger.apply_fills([make.fill(1, make.entry())])
        spawned = make.order(make.stop(), "USDC-7", S.OPEN, trigger_order_id="SLTS-1")
        await ledger.apply_orders([spawned])
        booking = await ledger.apply_fills([make.fill(2, order_id="USDC-7")])
        ((_, after),) = booking.changes
        assert (after.is_open, after.exit_reason) == (False, "sl_hit")


async def test_terms_follow_the_latest_edit_only(ledger, make):
    await ledger.commit_orders(make.bracket())
    label = make.stop().label
    edits = [
        make.order(
            make.stop(),
            "S",
            S.UNTRIGGERED,
            last_update_timestamp_ms=at_ms,
            trigger_price=Decimal(price),
            amount=Decimal(amount),
        )  # fmt: skip
        for at_ms, price, amount in [(3_000, 94_900, "0.02"), (2_000, 94_700, "0.03")]
    ]
    await ledger.apply_orders(edits)
    stop = await ledger.order(label)
    assert (stop.trigger_price, stop.amount) == (Decimal(94_900), Decimal("0.02"))


async def test_a_close_keeps_its_exit_reason_whatever_ends_it(ledger, make):
    await ledger.commit_orders([*make.bracket(), make.close(reason="emergency")])
    close = make.close()
    assert (await ledger.order(close.label)).reason == "emergency"
    await ledger.apply_fills([make.fill(1, make.entry())])
    await ledger.record_outcome(close.label, S.CANCELLED, reason="user_request")
    booking = await ledger.apply_fills([make.fill(2, close)])
    ((_, after),) = booking.changes
    assert after.exit_reason == "emergency"


async def test_an_order_found_at_the_exchange_can_be_adopted_with_its_fills(ledger, make):
    await ledger.apply_fills([make.fill(1, make.entry())])
    assert (await ledger.open_trades()).trades == ()
    await ledger.commit_orders([make.entry(order_id="ID-vg-razor-1-1-1", status=S.OPEN)])
    booking = await ledger.apply_fills([make.fill(1, make.entry())])
    assert [after.trade_id for _, after in booking.changes] == ["T1"]


async def test_an_outcome_for_an_unknown_label_is_a_key_error(ledger):
    with pytest.raises(KeyError):
        await ledger.record_outcome("vg-x-1-1", S.OPEN)


@given(data=st.data())
def test_order_news_in_any_order_and_number_leads_to_the_same_orders(data, make, world):
    """Monotone merging: a lattice has one top, by whatever path it is reached."""
    spawned = {"trigger_order_id": "SLTS-1"}
    news = [
        make.order(make.entry(), "E", S.OPEN, last_update_timestamp_ms=1_000),
        make.order(
            make.entry(), "E", S.PARTIALLY_FILLED, last_update_timestamp_ms=1_100,
            filled_amount=Decimal("0.01"),
        ),
        make.order(
            make.entry(), "E", S.FILLED, last_update_timestamp_ms=1_200,
            filled_amount=Decimal("0.03"),
        ),
        make.order(make.stop(), "SLTS-1", S.UNTRIGGERED, last_update_timestamp_ms=1_210),
        make.order(
            make.stop(), "SLTS-1", S.UNTRIGGERED, last_update_timestamp_ms=1_300,
            trigger_price=Decimal(94_700),
        ),
        make.order(
            make.stop(), "SLTS-1", S.TRIGGERED, last_update_timestamp_ms=1_400,
            trigger_price=Decimal(94_700),
        ),
        make.order(
            make.stop(), "U-1", S.FILLED, last_update_timestamp_ms=1_500,
            trigger_price=Decimal(94_700), filled_amount=Decimal("0.03"), **spawned,
        ),
        make.order(make.target(), "T", S.OPEN, last_update_timestamp_ms=1_211),
        make.order(
            make.target(), "T", S.CANCELLED, last_update_timestamp_ms=1_501,
            cancel_reason="oco_other_closed",
        ),
    ]  # fmt: skip

    def outcome(batch):
        world.execute("BEGIN")
        intents.insert(world, make.bracket())
        for order in batch:
            intents.apply(world, [order])
        orders = intents.load_of_trade(world, "T1")
        world.execute("ROLLBACK")
        return orders

    repeats = data.draw(st.lists(st.sampled_from(news), max_size=5))
    shuffled = data.draw(st.permutations([*news, *repeats]))
    assert outcome(shuffled) == outcome(news)


# --- doubt: what is unproven, what rises from the dead, and what has a double


async def test_the_unproven_are_those_of_which_nothing_was_heard(ledger, make):
    await ledger.commit_orders([make.entry(1), make.entry(5), make.entry(6), make.entry(7)])
    await ledger.record_outcome(make.entry(5).label, S.IN_DOUBT, reason="no answer")
    await ledger.apply_orders([make.order(make.entry(6), "X", S.OPEN)])
    await ledger.record_outcome(make.entry(7).label, S.FAILED, reason="absent")
    labels = [order.label for order in await ledger.unproven_orders()]
    assert labels == [make.entry(1).label, make.entry(5).label]


async def told(ledger):
    return {(one.kind, one.subject): one for one in await ledger.open_incidents()}


@pytest.mark.parametrize("known", [S.UNTRIGGERED, S.OPEN, S.TRIGGERED])
async def test_an_order_that_rested_and_was_rejected_when_it_fired_is_over(ledger, make, known):
    await ledger.commit_orders(make.bracket())
    await ledger.apply_orders([make.order(make.stop(), "B", known)])
    rejected = make.order(make.stop(), "B", S.REJECTED, last_update_timestamp_ms=2_000)
    await ledger.apply_orders([rejected])
    assert (await ledger.order(make.stop().label)).status is S.REJECTED
    await ledger.apply_orders([make.order(make.stop(), "B", known)])
    assert (await ledger.order(make.stop().label)).status is S.REJECTED, "old news"


async def test_what_a_stop_placed_and_was_rejected_ends_it(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.apply_orders([make.order(make.stop(), "B", S.TRIGGERED)])
    placed = make.order(make.stop(), "C", S.REJECTED, trigger_order_id="B")
    await ledger.apply_orders([placed])
    assert (await ledger.order(make.stop().label)).status is S.REJECTED


async def test_the_rejection_of_another_order_under_the_label_ends_none_that_rests(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.apply_orders([make.order(make.entry(), "A", S.OPEN)])
    twin = make.order(make.entry(), "T", S.REJECTED, last_update_timestamp_ms=2_000)
    await ledger.apply_orders([twin])
    assert (await ledger.order(make.entry().label)).status is S.OPEN
    await ledger.record_outcome(make.entry().label, S.REJECTED, reason="10009 not_enough_funds")
    assert (await ledger.order(make.entry().label)).status is S.OPEN


@pytest.mark.parametrize("verdict", [S.FAILED, S.REJECTED])
@pytest.mark.parametrize("alive", [S.OPEN, S.UNTRIGGERED, S.FILLED, S.CANCELLED])
async def test_an_order_found_alive_is_adopted_though_it_was_proven_absent(
    ledger, make, verdict, alive
):
    """Later evidence of life beats earlier evidence of absence. FAULTS §4.2."""
    await ledger.commit_orders(make.bracket())
    await ledger.record_outcome(make.entry().label, verdict, reason="absent")
    await ledger.apply_orders([make.order(make.entry(), "LATE", alive)])
    found = await ledger.order(make.entry().label)
    assert (found.status, found.order_id) == (alive, "LATE")
    incident = (await told(ledger))["absence_disproven", make.entry().label]
    assert incident.severity == "error"


async def test_a_fill_of_an_order_proven_absent_opens_its_trade(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.record_outcome(make.entry().label, S.FAILED, reason="absent")
    await ledger.apply_fills([make.fill(1, make.entry())])
    assert (await ledger.order(make.entry().label)).status is S.PARTIALLY_FILLED
    assert (await ledger.trade("T1")).is_open
    assert ("absence_disproven", make.entry().label) in await told(ledger)


async def test_linked_orders_of_a_parent_that_rose_again_come_to_life_quietly(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.record_outcome(make.entry().label, S.FAILED, reason="absent")
    assert (await ledger.order(make.stop().label)).status is S.FAILED
    await ledger.apply_orders([make.order(make.stop(), "S", S.UNTRIGGERED)])
    assert (await ledger.order(make.stop().label)).status is S.UNTRIGGERED
    assert await told(ledger) == {}


async def test_two_orders_under_one_label_are_an_incident_that_names_both(ledger, make):
    """FAULTS E22."""
    await ledger.commit_orders([make.entry()])
    for order_id in ("A", "B", "B", "A"):
        await ledger.apply_orders([make.order(make.entry(), order_id, S.OPEN)])
    incident = (await told(ledger))["duplicate_label", make.entry().label]
    assert incident.detail["order_ids"] == ["A", "B"]
    assert incident.count == 1


async def test_what_a_trigger_spawned_is_no_double_whichever_is_heard_first(ledger, make):
    stop = make.stop(parent_label=None)
    spawned = make.order(stop, "NEW", S.FILLED, trigger_order_id="TRIG")
    trigger = make.order(stop, "TRIG", S.TRIGGERED)
    await ledger.commit_orders([stop])
    await ledger.apply_orders([spawned, trigger])
    await ledger.apply_orders([trigger, spawned])
    assert await told(ledger) == {}


async def test_a_linked_order_that_rests_under_another_id_is_no_double(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.apply_orders([make.order(make.stop(), "OTO-1", S.UNTRIGGERED)])
    await ledger.apply_orders([make.order(make.stop(), "SLMS-2", S.UNTRIGGERED)])
    assert await told(ledger) == {}


async def test_the_time_of_the_newest_news_is_kept(ledger, make):
    await ledger.commit_orders([make.entry()])
    assert (await ledger.order(make.entry().label)).heard_ms == 0
    for at_ms in (5_000, 7_000, 6_000):
        order = make.order(make.entry(), "A", S.OPEN, last_update_timestamp_ms=at_ms)
        await ledger.apply_orders([order])
    assert (await ledger.order(make.entry().label)).heard_ms == 7_000


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_any_number_of_orders_is_committed_at_once_each_with_its_own_words(count, world, make):
    orders = [
        make.close(
            label=f"vg-many-{number}-1", intent_id=number, trade_id="many",
            order_id=f"X-{number}", reason="strategy_stop",
        )
        if number % 2
        else make.entry(label=f"vg-many-{number}-1", intent_id=number, trade_id="many")
        for number in range(1, count + 1)
    ]  # fmt: skip
    world.execute("BEGIN")
    intents.insert(world, orders)
    stored = intents.load_of_trade(world, "many")
    labels = [intents.own_label(world, "", order.order_id) for order in orders if order.order_id]
    world.execute("ROLLBACK")
    assert stored == tuple(orders)
    assert labels == [order.label for order in orders if order.order_id]
