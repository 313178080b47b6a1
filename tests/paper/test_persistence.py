"""A restart of the exchange is invisible in its books."""

import random
import sqlite3
from decimal import Decimal

import pytest

from vigil.errors import Misconfigured
from vigil.paper.account.order_records import OrderRecords
from vigil.paper.account.shelf import Shelf, Window
from vigil.paper.account.trade_records import TradeRecords
from vigil.paper.market.feed import PriceWalk
from vigil.paper.persistence import StateFile
from vigil.paper.refusals import Refusal

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def walks():
    bitcoin = PriceWalk(seed=3, index_name="btc", start_price=D(95_000))
    return {"btc_usd": bitcoin, "btc_usdc": bitcoin}


def keep(desk, state_file):
    changes = desk.changes()
    if changes is not None:
        state_file.save(changes)


def trade(desk, state_file, steps=60):
    dice = random.Random(5)
    for step in range(steps):
        side, name = dice.choice(("buy", "sell")), dice.choice((LINEAR, INVERSE))
        amount = D(100) if name == INVERSE else D("0.01")
        other = "sell" if side == "buy" else "buy"
        price = desk.market(name).mark_price.to_integral_value()
        params = {"instrument_name": name, "amount": amount, "type": "market", "label": f"l{step}"}
        if step % 3 == 0:
            away = 200 if side == "buy" else -200
            secondary = {"direction": other, "amount": amount, "reduce_only": True}
            params |= {"type": "limit", "price": price - away // 50}
            params |= {
                "linked_order_type": "one_triggers_one_cancels_other",
                "otoco_config": [
                    secondary | {"type": "stop_market", "trigger": "mark_price",
                                 "trigger_price": price - away},
                    secondary | {"type": "limit", "price": price + away},
                ],
            }  # fmt: skip
        desk.call(f"private/{side}", **params)
        keep(desk, state_file)
        desk.wait(5_000)
        keep(desk, state_file)


def view(desk):
    """All that a client can see of the account."""
    labels = [f"l{step}" for step in range(60)]
    return {
        "orders": [desk.by_label(label) for label in labels],
        "open": desk.open_orders(),
        "trades": [desk.trades(name) for name in (LINEAR, INVERSE)],
        "positions": desk.call("private/get_positions"),
        "summaries": desk.call("private/get_account_summaries"),
        "log": desk.call(
            "private/get_transaction_log", currency="USDC", start_timestamp=0, end_timestamp=2**46
        ),
        "index": [desk.call("public/get_index_price", index_name=n) for n in ("btc_usd", "eth_usdc")],
        "chart": desk.call(
            "public/get_tradingview_chart_data", instrument_name=LINEAR, resolution="1",
            start_timestamp=desk.now_ms - 20 * 60_000, end_timestamp=desk.now_ms - 60_000,
        ),
    }  # fmt: skip


def test_a_restart_keeps_everything_that_a_client_can_see(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk(walks=walks())
    trade(desk, state_file)
    before = view(desk)
    state_file.close()
    assert before["trades"][0]
    assert before["open"]

    again = StateFile(tmp_path / "paper.db")
    revived = make_desk(walks=walks(), saved=again.load())
    revived.now_ms = desk.now_ms
    assert view(revived) == before
    again.close()


def test_life_goes_on_after_a_restart_with_new_ids_and_the_same_prices(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk(walks=walks())
    trade(desk, state_file, steps=10)
    revived = make_desk(walks=walks(), saved=state_file.load())
    revived.now_ms = desk.now_ms
    for each in (desk, revived):
        each.wait(1000)
    assert revived.venue.exchange.prices == desk.venue.exchange.prices
    trade(revived, state_file, steps=10)
    ids = [item["trade_id"] for name in (LINEAR, INVERSE) for item in revived.trades(name)]
    assert len(ids) == len(set(ids))
    state_file.close()


def test_old_tokens_are_dead_after_a_restart(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    access = desk.log_in()["access_token"]
    desk.buy(amount=0.01, type="market")
    keep(desk, state_file)
    revived = make_desk(saved=state_file.load())
    with pytest.raises(Refusal):
        revived.call("private/get_positions", revived.connect(), access_token=access)
    state_file.close()


def test_an_order_of_a_past_run_is_not_cancelled_with_a_new_connection(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    order = desk.buy(amount=0.01, price=94900)["order"]
    keep(desk, state_file)
    revived = make_desk(saved=state_file.load())
    revived.call("private/enable_cancel_on_disconnect")
    revived.venue.disconnect(revived.connection_id, revived.now_ms)
    other = revived.connect()
    revived.log_in(other)
    state = revived.call("private/get_order_state", other, order_id=order["order_id"])
    assert state["order_state"] == "open"
    state_file.close()


class TestCancelOnDisconnect:
    """No connection outlives its exchange, however that ended."""

    def test_the_orders_of_a_connection_that_asked_for_it_are_gone(self, make_desk, tmp_path):
        state_file = StateFile(tmp_path / "paper.db")
        desk = make_desk()
        other = desk.connect_and_log_in()
        desk.call("private/enable_cancel_on_disconnect", other)
        keep(desk, state_file)
        params = {"instrument_name": LINEAR, "amount": D("0.01"), "price": 94900}
        desk.call("private/buy", other, label="goes", **params)
        desk.call(
            "private/buy", other, label="stop", instrument_name=LINEAR, amount=D("0.01"),
            type="stop_market", trigger="mark_price", trigger_price=96000,
        )  # fmt: skip
        desk.buy(label="stays", amount=0.01, price=94900)
        keep(desk, state_file)
        revived = make_desk(saved=state_file.load())
        assert [order["label"] for order in revived.open_orders()] == ["stays"]
        for label in ("goes", "stop"):
            assert revived.by_label(label)[0]["cancel_reason"] == "cancel_on_disconnect"
        keep(revived, state_file)
        # Another run, in which the same number is another connection's.
        revived.call("private/enable_cancel_on_disconnect")
        keep(revived, state_file)
        third = make_desk(saved=state_file.load())
        assert [order["label"] for order in third.open_orders()] == ["stays"]
        assert third.by_label("goes")[0]["order_state"] == "cancelled"
        state_file.close()

    def test_what_was_asked_for_the_account_still_holds(self, make_desk, tmp_path):
        state_file = StateFile(tmp_path / "paper.db")
        desk = make_desk()
        desk.call("private/enable_cancel_on_disconnect", scope="account")
        keep(desk, state_file)
        revived = make_desk(saved=state_file.load())
        assert revived.call("private/get_cancel_on_disconnect", scope="account")["enabled"]
        assert revived.call("private/get_cancel_on_disconnect")["enabled"]
        revived.call("private/disable_cancel_on_disconnect", scope="account")
        keep(revived, state_file)
        third = make_desk(saved=state_file.load())
        assert not third.call("private/get_cancel_on_disconnect", scope="account")["enabled"]
        state_file.close()


def test_a_vanished_secondary_stays_vanished(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    entry = desk.buy(
        amount=0.01, price=94900, linked_order_type="one_triggers_other",
        otoco_config=[{"direction": "sell", "type": "limit", "price": 96000, "label": "t"}],
    )["order"]  # fmt: skip
    keep(desk, state_file)
    desk.move(94800)
    keep(desk, state_file)
    revived = make_desk(saved=state_file.load())
    (pending_id,) = entry["oto_order_ids"]
    assert revived.refusal("private/get_order_state", order_id=pending_id).code == 10004
    assert [order["label"] for order in revived.open_orders()] == ["t"]
    state_file.close()


def test_a_full_disk_is_told_as_one_and_takes_more_once_there_is_room(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    keep(desk, state_file)
    disk = state_file._connection
    (room,) = disk.execute("PRAGMA page_count").fetchone()
    disk.execute(f"PRAGMA max_page_count = {room}")
    for number in range(100):
        desk.buy(amount=0.01, type="market", label=f"n{number}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        state_file.save(desk.changes())
    disk.execute("PRAGMA max_page_count = 1000000")
    desk.buy(amount=0.01, type="market")
    keep(desk, state_file)
    state_file.close()


def test_what_the_books_drop_is_dropped_on_disk(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    books = desk.venue.exchange.books
    books.order_records, books.trade_records = OrderRecords(10), TradeRecords(10)
    books.trigger_ends, books.log_rows = Shelf(10), Shelf(10)
    books.settlement_rows = Shelf(10)
    for _ in range(30):
        desk.venue.exchange.clearing.settle(desk.now_ms)
        desk.wait(5_000)
        desk.buy(amount=0.01, type="market")
        stop = desk.buy(amount=0.01, type="stop_market", trigger="mark_price", trigger_price=96000)[
            "order"
        ]
        desk.call("private/cancel", order_id=stop["order_id"])
        keep(desk, state_file)
    saved = state_file.load()
    assert [trade.trade_id for trade in saved.trades] == [t.trade_id for t in books.trades]
    assert [end.number for end in saved.trigger_ends] == [
        end.number for end in books.trigger_ends.items
    ]
    assert saved.log == tuple(books.log)
    assert saved.settlements == tuple(books.settlements)
    assert max(len(saved.log), len(saved.settlements)) <= 11
    assert len({row.timestamp_ms for row in saved.settlements}) > 5
    closed = books.order_records.closed([LINEAR], Window())
    assert {order.order_id for order in saved.orders} == {order.order_id for order in closed}
    assert max(len(saved.trades), len(saved.orders), len(saved.trigger_ends)) <= 11
    state_file.close()


class TestBadFiles:
    def test_a_second_exchange_on_one_file_is_refused(self, tmp_path):
        first = StateFile(tmp_path / "paper.db")
        with pytest.raises(Misconfigured, match="stop the paper exchange that has it"):
            StateFile(tmp_path / "paper.db")
        first.close()

    def test_garbage_is_refused_by_name(self, tmp_path):
        path = tmp_path / "paper.db"
        path.write_bytes(b"garbage" * 1000)
        with pytest.raises(Misconfigured, match=r"paper\.db"):
            StateFile(path)

    def test_a_damaged_row_is_refused_by_name(self, make_desk, tmp_path):
        path = tmp_path / "paper.db"
        state_file = StateFile(path)
        desk = make_desk()
        desk.buy(amount=0.01, type="market")
        keep(desk, state_file)
        state_file.close()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE orders SET body = '{}'")
        connection.close()
        again = StateFile(path)
        with pytest.raises(Misconfigured, match="damaged"):
            again.load()
        again.close()

    def test_a_missing_directory_is_named(self, tmp_path):
        with pytest.raises(Misconfigured, match="nowhere"):
            StateFile(tmp_path / "nowhere" / "paper.db")
