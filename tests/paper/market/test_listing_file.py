"""Instruments from a file of recorded ones."""

import json
from decimal import Decimal

import pytest

from vigil.errors import Misconfigured
from vigil.paper.market.board import board
from vigil.paper.market.instruments import PERPETUALS
from vigil.paper.market.listing_file import load_listings
from vigil.paper.wire import framing, render_market

D = Decimal
PERPETUAL = {
    "instrument_name": "ALGO_USDC-PERPETUAL", "kind": "future", "base_currency": "ALGO",
    "quote_currency": "USDC", "counter_currency": "USDC", "settlement_currency": "USDC",
    "price_index": "algo_usdc", "instrument_id": 1, "contract_size": 1, "min_trade_amount": 1,
    "tick_size": 0.00001, "tick_size_steps": [], "maker_commission": 0.0,
    "taker_commission": 0.0005, "creation_timestamp": 1663667690000,
    "expiration_timestamp": 32503708800000, "settlement_period": "perpetual", "max_leverage": 25,
}  # fmt: skip


def write(tmp_path, document):
    path = tmp_path / "instruments.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(
    "shape",
    [
        lambda row: [row],
        lambda row: row,
        lambda row: {"result": [row]},
        lambda row: {"result": row},
    ],
    ids=["array", "object", "reply with an array", "reply with an object"],
)
def test_every_shape_of_file_is_read(tmp_path, shape):
    (listing,) = load_listings(write(tmp_path, shape(PERPETUAL)))
    assert listing.name == "ALGO_USDC-PERPETUAL"
    assert listing.is_perpetual
    assert listing.instrument.tick_size == D("0.00001")
    assert listing.id_prefix == "USDC-"


@pytest.mark.parametrize(
    "name",
    [
        "fastmm/get_instruments_future.json", "gec/get_instrument_inverse_option.json",
        "gec/get_instrument_linear_perpetual.json", "nautilus/http_get_instrument.json",
    ],
)  # fmt: skip
def test_recorded_instruments_are_read_as_they_are(tmp_path, recorded, name):
    document = recorded(name)
    rows = document["result"] if isinstance(document["result"], list) else [document["result"]]
    for listing, row in zip(load_listings(write(tmp_path, document)), rows, strict=True):
        ours = json.loads(framing.encode(render_market.instrument(listing)))
        for field in set(row) & set(ours):
            if not field.startswith("block_trade") and field != "max_liquidation_commission":
                assert ours[field] == row[field], field


def test_what_we_list_ourselves_reads_back_as_it_was(tmp_path):
    listed = (*PERPETUALS, *board(1_795_000_000_000, {"btc_usd": D(95_000), "xrp_usdc": D(2)}))
    rows = [json.loads(framing.encode(render_market.instrument(item))) for item in listed]
    assert load_listings(write(tmp_path, rows)) == listed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tick_size": None}, "$.tick_size"),
        ({"contract_size": "many"}, "$.contract_size"),
        ({"tick_size": 0}, "tick_size is 0; it must be above 0"),
        ({"min_trade_amount": -1}, "min_trade_amount is -1"),
        ({"kind": "spot"}, "kind 'spot' is not traded here"),
        ({"kind": "option"}, "strike is None; an option needs one above 0"),
        ({"kind": "option", "strike": 5, "option_type": "both"}, "option_type is 'both'"),
        ({"kind": "option", "strike": 5, "option_type": "call"}, "but the name says otherwise"),
    ],
)
def test_a_bad_instrument_is_refused_by_file_name_and_field(tmp_path, change, complaint):
    path = write(tmp_path, [PERPETUAL, PERPETUAL | change])
    with pytest.raises(Misconfigured) as caught:
        load_listings(path)
    assert str(path) in str(caught.value)
    assert "instrument 2 (ALGO_USDC-PERPETUAL)" in str(caught.value)
    assert complaint in str(caught.value)


def test_a_missing_field_is_named(tmp_path):
    row = {name: value for name, value in PERPETUAL.items() if name != "price_index"}
    with pytest.raises(Misconfigured, match="price_index"):
        load_listings(write(tmp_path, [row]))


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "[[]]"])
def test_a_file_that_holds_something_else_is_refused(tmp_path, text):
    with pytest.raises(Misconfigured, match="instruments.json"):
        load_listings(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_listings(tmp_path / "none.json")
