import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from vigil.deribit import wire_account
from vigil.deribit.wire import Unreadable
from vigil.domain.portfolio import FeeRate, RateLimit


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_the_recorded_account_summaries_parse(recorded: Any, member: Any) -> None:
    payload = recorded("nautilus/http_get_account_summaries_cross_margin.json")
    summaries = wire_account.to_account_summaries(member(payload, "result"))
    assert summaries[0].currency == "BTC"
    assert summaries[0].equity == Decimal("2.288E-5")
    old = json.loads(recorded("ex_deribit/get_account_summary_ok.json"))[0]["response"]["body"]
    assert wire_account.to_account_summary(raw(json.loads(old)["result"])).balance == 10


def test_a_currency_summed_up_twice_is_loud(recorded: Any, member: Any) -> None:
    payload = recorded("nautilus/http_get_account_summaries_cross_margin.json")
    result = json.loads(bytes(member(payload, "result")))
    assert all(one.is_cross_collateral for one in wire_account.to_account_summaries(raw(result)))
    result["summaries"].append(result["summaries"][0])
    with pytest.raises(Unreadable, match="twice"):
        wire_account.to_account_summaries(raw(result))


# --- limits and fees

NEW_LIMITS = {
    "limits_per_currency": False,
    "non_matching_engine": {"rate": 20, "burst": 100},
    "matching_engine": {
        "trading": {"total": {"rate": 5, "burst": 20}},
        "spot": {"rate": 5.0, "burst": 2.0e1},
    },
}


@pytest.mark.parametrize(
    ("limits", "pools"),
    [
        pytest.param(
            NEW_LIMITS,
            {
                "non_matching_engine": (20, 100),
                "matching_engine.trading.total": (5, 20),
                "matching_engine.spot": (5, 20),
            },
            id="pools",
        ),
        pytest.param(
            {
                "limits_per_currency": True,
                "matching_engine": {"btc": {"trading": {"total": {"rate": 1, "burst": 2}}}},
            },
            {"matching_engine.btc.trading.total": (1, 2)},
            id="pools per currency",
        ),
        pytest.param(
            {
                "non_matching_engine_burst": 300,
                "non_matching_engine": 200,
                "matching_engine_burst": 20,
                "matching_engine": 2,
            },
            {"non_matching_engine": (200, 300), "matching_engine": (2, 20)},
            id="four numbers, until 2024",
        ),
        pytest.param(None, {}, id="none told"),
    ],
)
def test_limits_of_all_ages_are_read(limits: Any, pools: dict[str, tuple[int, int]]) -> None:
    expected = {name: RateLimit(rate=rate, burst=burst) for name, (rate, burst) in pools.items()}
    one = wire_account.to_terms(raw({"id": 1, "limits": limits}))
    assert one.rate_limits == expected
    all_ = wire_account.to_terms(raw({"id": 1, "summaries": [{}, {"limits": limits}]}))
    assert all_.rate_limits == expected
    assert one.is_limited_per_currency is bool(limits and limits.get("limits_per_currency"))


def test_the_recorded_limits_of_2020_are_read(recorded: Any) -> None:
    body = json.loads(recorded("ex_deribit/get_account_summary_ok.json"))[0]["response"]["body"]
    terms = wire_account.to_terms(raw(json.loads(body)["result"]))
    assert terms.rate_limits["matching_engine"] == RateLimit(rate=2, burst=20)


@pytest.mark.parametrize(
    "fees",
    [
        pytest.param(
            [
                {
                    "index_name": "btc_usd",
                    "kind": "future",
                    "value": {"default": {"type": "fixed", "maker": -0.0001, "taker": 0.0005}},
                }
            ],
            id="a list",
        ),
        pytest.param(
            {
                "btc_usd": {
                    "future": {
                        "default": {"fee_type": "fixed", "maker_fee": -0.0001, "taker_fee": 0.0005}
                    }
                }
            },
            id="a map",
        ),
    ],
)
def test_fees_come_as_a_list_or_a_map(fees: Any) -> None:
    expected = FeeRate(
        scope="btc_usd.future.default",
        maker=Decimal("-0.0001"),
        taker=Decimal("0.0005"),
        fee_type="fixed",
    )
    assert wire_account.to_terms(raw({"fees": fees})).fees == (expected,)
    assert wire_account.to_terms(raw({"fees": fees, "summaries": []})).fees == (expected,)


def test_no_fees_and_fees_without_end() -> None:
    for fees in (None, [], {}):
        assert wire_account.to_terms(raw({"fees": fees})).fees == ()
    endless: Any = {"maker": 1}
    for _ in range(9):
        endless = {"deeper": endless}
    with pytest.raises(Unreadable):
        wire_account.to_terms(raw({"fees": endless}))


# --- the account's records


def test_the_documented_log_is_read(recorded: Any, member: Any) -> None:
    page = wire_account.to_log_page(
        member(recorded("docs-examples/get_transaction_log.json"), "result")
    )
    assert page.continuation == 61282
    assert [entry.user_seq for entry in page.rows] == [6009, 6008, 6007, 6006, 6005]
    transfer, settlement, _, opened, closed = page.rows
    assert (transfer.side, transfer.instrument_name, transfer.commission) == ("", None, 0)
    assert json.loads(transfer.info)["other_user_id"] == 27
    assert settlement.session_upl == Decimal("0.00220172")
    assert settlement.change == Decimal("0.00215706")
    assert (opened.trade_id, opened.side) == (closed.trade_id, "open buy")
    assert opened.balance - closed.balance == opened.change


def test_words_added_to_a_log_entry_may_be_no_text(recorded: Any, member: Any) -> None:
    payload = bytes(member(recorded("docs-examples/get_transaction_log.json"), "result"))
    torn = payload.replace(b'"other_user": "Subaccount"', b'"other_user": "\xc2\xff"')
    entry = wire_account.to_log_page(msgspec.Raw(torn)).rows[0]
    assert "\ufffd" in entry.info


@pytest.mark.parametrize(
    "field", ["user_seq", "change", "balance", "currency", "type", "timestamp"]
)
def test_a_log_entry_without_what_matters_is_loud(recorded: Any, member: Any, field: str) -> None:
    payload = member(recorded("docs-examples/get_transaction_log.json"), "result")
    result = json.loads(bytes(payload))
    del result["logs"][1][field]
    with pytest.raises(Unreadable):
        wire_account.to_log_page(raw(result))


def test_the_documented_settlement_is_read(recorded: Any, member: Any) -> None:
    payload = recorded("docs-examples/get_settlement_history_by_instrument.json")
    (row,) = wire_account.to_settlement_page(member(payload, "result")).rows
    assert (row.settlement_type, row.position) == ("settlement", -66)
    assert row.session_profit_loss == Decimal("0.038358299")


def test_the_documented_trigger_record_is_read(recorded: Any, member: Any) -> None:
    payload = recorded("docs-examples/get_trigger_order_history.json")
    (row,) = wire_account.to_trigger_page(member(payload, "result")).rows
    assert (row.trigger_order_id, row.order_id, row.price) == (
        "SLIS-103",
        "671473",
        Decimal("5179.28"),
    )


def test_a_trigger_record_of_no_order_is_loud() -> None:
    entry = {"timestamp": 1, "instrument_name": "A"}
    with pytest.raises(Unreadable):
        wire_account.to_trigger_page(raw({"entries": [entry], "continuation": None}))
    old = wire_account.to_trigger_page(
        raw({"entries": [entry | {"stop_order_id": "SLIB-1", "stop_price": 7}]})
    ).rows[0]
    assert (old.trigger_order_id, old.trigger_price) == ("SLIB-1", 7)


@pytest.mark.parametrize("end", [None, "", "none"])
def test_the_last_page_is_known_by_its_continuation(end: str | None) -> None:
    assert wire_account.to_log_page(raw({"logs": [], "continuation": end})).continuation is None
    assert wire_account.to_log_page(raw({"logs": []})).continuation is None
