"""Whatever is asked in whatever order: what holds of every order, always."""

from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.paper.account.orders import FillCondition, OrderState
from vigil.paper.persistence import StateFile
from vigil.paper.refusals import Refusal
from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
TYPES = (
    "limit", "market", "market_limit", "stop_market", "stop_limit", "take_market", "take_limit",
    "trailing_stop",
)  # fmt: skip
PRICES = st.integers(94_000, 96_000)

order = st.fixed_dictionaries(
    {
        "side": st.sampled_from(("buy", "sell")),
        "lots": st.integers(1, 300),
        "type": st.sampled_from(TYPES),
        "price": PRICES,
        "trigger_price": PRICES,
        "offset": st.integers(1, 400),
        "trigger": st.sampled_from(("mark_price", "index_price", "last_price")),
        "reduce_only": st.booleans(),
        "post_only": st.sampled_from((None, False, True)),
        "time_in_force": st.sampled_from(
            (None, "good_til_day", "fill_or_kill", "immediate_or_cancel")
        ),
        "tip": st.sampled_from((None, 10)),
    }
)
linked = st.tuples(
    st.sampled_from(("one_triggers_other", "one_cancels_other", "one_triggers_one_cancels_other")),
    st.sampled_from([condition.value for condition in FillCondition]),
    st.lists(order, min_size=1, max_size=2),
)
step = st.one_of(
    st.tuples(st.just("place"), st.sampled_from((LINEAR, INVERSE)), order, st.none() | linked),
    st.tuples(st.just("edit"), st.integers(0, 5), st.integers(1, 300), PRICES),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("move"), PRICES),
    st.tuples(st.just("close"), st.sampled_from((LINEAR, INVERSE))),
    st.tuples(st.sampled_from(("cancel_all", "expire", "wait"))),
)
switches = st.builds(
    Switches,
    crossed_secondary_vanishes=st.booleans(),
    crossed_trigger_is_refused=st.booleans(),
    cancelled_oco_closes_other=st.booleans(),
    fired_outside_band_is_rejected=st.booleans(),
    self_trading_reject_mode=st.sampled_from(("cancel_maker", "reject_taker")),
)


def amount_of(name, lots):
    return D(lots) * (10 if name == INVERSE else D("0.01"))


def params_of(name, wanted):
    """The parameters of one order; what its type does not take is left out."""
    params = {"type": wanted["type"], "amount": amount_of(name, wanted["lots"])}
    if wanted["type"].endswith("limit") and wanted["type"] != "market_limit":
        params["price"] = D(wanted["price"])
        if wanted["time_in_force"] is not None:
            params["time_in_force"] = wanted["time_in_force"]
        elif wanted["post_only"] is not None:
            params |= {"post_only": True, "reject_post_only": wanted["post_only"]}
        if wanted["tip"] is not None:
            params["display_amount"] = amount_of(name, wanted["tip"] * 10)
    if wanted["type"] == "trailing_stop":
        params |= {"trigger": wanted["trigger"], "trigger_offset": D(wanted["offset"])}
    elif wanted["type"].startswith(("stop", "take")):
        params |= {"trigger": wanted["trigger"], "trigger_price": D(wanted["trigger_price"])}
    return params | {"reduce_only": wanted["reduce_only"]}


def take(desk, what, *details):
    live = [item["order_id"] for item in desk.open_orders()]
    match what, *details:
        case "place", name, wanted, links:
            params = params_of(name, wanted)
            if links is not None:
                linked_type, condition, others = links
                count = 2 if linked_type.startswith("one_triggers_one") else 1
                params |= {
                    "linked_order_type": linked_type,
                    "trigger_fill_condition": condition,
                    "otoco_config": [
                        params_of(name, other) | {"direction": other["side"]}
                        for other in (others * 2)[:count]
                    ],
                }
            desk.call(f"private/{wanted['side']}", instrument_name=name, **params)
        case "edit", index, lots, price if index < len(live):
            known = desk.order(live[index])
            name = known["instrument_name"]
            change = {"trigger_price": D(price)} if "trigger_price" in known else {}
            desk.call(
                "private/edit", order_id=live[index], amount=amount_of(name, lots),
                price=D(price), **change,
            )  # fmt: skip
        case "cancel", index if index < len(live):
            desk.call("private/cancel", order_id=live[index])
        case "move", price:
            desk.move(price)
        case "close", name:
            desk.call("private/close_position", instrument_name=name, type="market")
        case ("cancel_all",):
            desk.call("private/cancel_all")
        case ("expire",):
            desk.venue.exchange.engine.expire_day_orders(desk.now_ms)
        case ("wait",):
            desk.wait(1000)
        case _:
            pass


def check(desk):
    books = desk.venue.exchange.books
    trades = books.trades
    for item in books.orders.values():
        fills = [trade for trade in trades if trade.order_id == item.order_id]
        filled = sum((trade.amount for trade in fills), D(0))
        assert item.filled_amount == filled <= item.amount
        assert (item.state is OrderState.FILLED) <= (filled == item.amount)
        if item.waits_for_trigger:
            assert not filled
        if item.state is OrderState.OPEN:
            assert item.price is not None
            assert not item.is_immediate
        if item.post_only and not item.display_amount:
            assert all(trade.is_maker for trade in fills)
        for pending in item.oto_order_ids:
            known = books.orders.get(pending)
            if known is not None and known.is_live and item.state is not OrderState.TRIGGERED:
                assert item.is_live
        if item.trigger_order_id is not None:
            assert books.orders[item.trigger_order_id].state is OrderState.TRIGGERED
    live = list(books.live_orders())
    assert len({item.order_id for item in live}) == len(live)
    pairs = {}
    for item in books.orders.values():
        if item.oco_ref is not None and item.fill_condition is FillCondition.FIRST_HIT:
            pairs.setdefault(item.oco_ref, []).append(item)
    for pair in pairs.values():
        touched = [
            item for item in pair if item.filled_amount or item.state is OrderState.TRIGGERED
        ]
        assert len(pair) <= 2
        assert len(touched) <= 1
        if touched:
            assert not any(item.is_live for item in pair if item is not touched[0])
    for name in (LINEAR, INVERSE):
        signed = sum(
            (t.amount * t.direction.sign for t in trades if t.instrument_name == name), D(0)
        )
        assert books.position(name).size == signed


@settings(max_examples=200, deadline=None)
@given(switches, st.lists(step, min_size=1, max_size=25))
def test_every_order_is_always_in_a_state_that_can_be(make_desk_once, readings, history):
    desk = make_desk_once(switches=readings)
    for what in history:
        known = len(desk.venue.exchange.books.trades)
        sizes = {name: desk.venue.exchange.books.position(name).size for name in (LINEAR, INVERSE)}
        with suppress(Refusal):
            take(desk, *what)
        for trade in desk.venue.exchange.books.trades[known:]:
            before = sizes[trade.instrument_name]
            after = before + trade.direction.sign * trade.amount
            if trade.reduce_only:
                assert abs(after) < abs(before)
                assert before * after >= 0
            sizes[trade.instrument_name] = after
        check(desk)
    ends = desk.venue.exchange.books.trigger_ends.items
    assert len({end.order.order_id for end in ends}) == len(ends)
    assert len({end.spawned_order_id for end in ends if end.spawned_order_id}) == sum(
        end.outcome == "triggered" for end in ends
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(step, min_size=3, max_size=12), st.lists(st.tuples(st.just("move"), PRICES)))
def test_a_restart_in_between_changes_nothing_that_follows(
    make_desk_once, tmp_path_factory, history, rest
):
    path = tmp_path_factory.mktemp("state") / "paper.db"
    state_file, desk = StateFile(path), make_desk_once()
    for what in history:
        with suppress(Refusal):
            take(desk, *what)
        changes = desk.changes()
        if changes is not None:
            state_file.save(changes)
    desk.wait(1000)
    state_file.save(desk.changes())
    again = make_desk_once(saved=state_file.load())
    again.now_ms = desk.now_ms
    for what in rest:
        for each in (desk, again):
            take(each, *what)
        assert again.open_orders() == desk.open_orders()
        ours, theirs = (
            {
                o.order_id: (o.state, o.filled_amount)
                for o in each.venue.exchange.books.orders.values()
            }
            for each in (again, desk)
        )
        assert ours == theirs
    state_file.close()
