"""Orders by id, label and time, whatever happens to them."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.order_records import OrderRecords
from vigil.paper.account.orders import OrderState, PaperOrder
from vigil.paper.account.shelf import RECENT_ORDERS_MS, Window

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
LIVE, CLOSED = OrderState.OPEN, OrderState.CANCELLED


def order(number, state=LIVE, *, at_ms=0, name=LINEAR, label="", **changes):
    return PaperOrder(
        order_id=f"o{number}",
        instrument_name=name,
        direction=Direction.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal(1),
        state=state,
        creation_timestamp_ms=0,
        last_update_timestamp_ms=at_ms,
        label=label,
        price=Decimal(1),
        **changes,
    )


def ids(orders):
    return [item.order_id for item in orders]


def test_a_closed_order_is_known_by_id_and_label_until_the_limit_and_not_after():
    records = OrderRecords()
    records.put(order(1, CLOSED, at_ms=1000, label="a"))
    records.age(1000 + RECENT_ORDERS_MS - 1)
    assert ids(records.labelled("a")) == ["o1"]
    records.age(1000 + RECENT_ORDERS_MS)
    assert "o1" not in records.by_id
    assert records.labelled("a") == []
    assert ids(records.closed([LINEAR], Window())) == ["o1"]


def test_a_live_order_does_not_age():
    records = OrderRecords()
    records.put(order(1, at_ms=0, label="a"))
    records.age(10 * RECENT_ORDERS_MS)
    assert ids(records.labelled("a")) == ["o1"]


def test_closed_orders_of_several_instruments_come_latest_first():
    records = OrderRecords()
    for number, name in ((1, LINEAR), (2, INVERSE), (3, LINEAR)):
        records.put(order(number, CLOSED, at_ms=number, name=name))
    assert ids(records.closed([LINEAR, INVERSE], Window())) == ["o3", "o2", "o1"]
    assert ids(records.closed([INVERSE], Window())) == ["o2"]
    assert ids(records.closed(["other"], Window())) == []


def test_a_corrected_closed_order_takes_its_own_place():
    records = OrderRecords()
    for number in (1, 2):
        records.put(order(number, CLOSED, at_ms=number))
    records.put(order(1, OrderState.FILLED, at_ms=3))
    closed = list(records.closed([LINEAR], Window(end_ms=2)))
    assert [(item.order_id, item.state) for item in closed] == [
        ("o2", CLOSED),
        ("o1", OrderState.FILLED),
    ]


def test_a_forgotten_order_is_nowhere():
    records = OrderRecords()
    records.put(order(1, OrderState.UNTRIGGERED, is_pending=True, label="a"))
    records.forget("o1")
    assert (records.by_id, records.labelled("a"), records.pending()) == ({}, [], [])


def test_pending_orders_are_told_apart_from_live_ones():
    records = OrderRecords()
    records.put(order(1, OrderState.UNTRIGGERED, is_pending=True))
    records.put(order(2))
    assert (ids(records.live()), ids(records.pending())) == (["o2"], ["o1"])
    assert records.live_count() == 1


def test_what_is_dropped_is_the_oldest_of_that_instrument():
    records = OrderRecords(closed_max=10)
    dropped = []
    for number in range(30):
        dropped += records.put(order(number, CLOSED, at_ms=number))
    assert ids(dropped) == [f"o{number}" for number in range(len(dropped))]
    assert len(dropped) + len(list(records.closed([LINEAR], Window()))) == 30
    records.age(10 * RECENT_ORDERS_MS)
    assert records.by_id == {}


steps = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from([LIVE, OrderState.UNTRIGGERED, CLOSED]),
        st.sampled_from([LINEAR, INVERSE]),
        st.integers(0, RECENT_ORDERS_MS),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(steps)
def test_the_indexes_agree_with_a_plain_list_and_a_restart_changes_nothing(history):
    records, plain, now_ms = OrderRecords(), {}, 0
    for number, state, name, passed_ms in history:
        now_ms += passed_ms
        number += 10 * (name == INVERSE)
        known = plain.get(f"o{number}")
        if known is not None and not known.is_live:
            continue
        item = order(number, state, at_ms=now_ms, name=name, label=f"l{number % 3}")
        plain[item.order_id] = replace(item)
        records.put(item)
    records.age(now_ms)
    for each in (records, OrderRecords()):
        if each is not records:
            each.restore(plain.values())
            each.age(now_ms)
        recent = {
            item.order_id
            for item in plain.values()
            if item.is_live or item.last_update_timestamp_ms > now_ms - RECENT_ORDERS_MS
        }
        assert set(each.by_id) == recent
        assert set(ids(each.live())) == {i.order_id for i in plain.values() if i.is_live}
        assert each.live_count() == len(list(each.live()))
        closed = list(each.closed([LINEAR, INVERSE], Window()))
        assert sorted(ids(closed)) == sorted(i.order_id for i in plain.values() if not i.is_live)
        times = [item.last_update_timestamp_ms for item in closed]
        assert times == sorted(times, reverse=True)
        for label in ("l0", "l1", "l2"):
            assert set(ids(each.labelled(label))) == {i for i in recent if plain[i].label == label}
