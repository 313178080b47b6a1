"""Recorded and scripted prices."""

from decimal import Decimal

import pytest

from vigil.errors import Misconfigured
from vigil.paper.market.recording import TickScript, load_recording, scripted_walk

D = Decimal
LINES = """{"timestamp": 1000, "price": 95000.5, "index_name": "btc_usd"}
{"timestamp": 1500, "price": "3300", "index_name": "eth_usd"}

{"timestamp": 3000, "price": 9.6e4, "index_name": "btc_usd"}
"""
CSV = """timestamp,price,index_name
1000,95000.5,btc_usd
1500,3300,eth_usd
3000,96000,btc_usd
"""


@pytest.mark.parametrize("text", [LINES, CSV], ids=["json lines", "csv"])
def test_a_recording_is_replayed_by_market_seconds_and_stays_at_its_end(tmp_path, text):
    path = tmp_path / "prices"
    path.write_text(text)
    walks = load_recording(path)
    assert set(walks) == {"btc_usd", "eth_usd"}
    bitcoin = walks["btc_usd"]
    assert bitcoin.price == D("95000.5")
    assert bitcoin.advance(1.9) == D("95000.5")
    assert bitcoin.advance(0.1) == 96_000
    assert bitcoin.advance(3600) == 96_000
    assert walks["eth_usd"].advance(1) == 3300
    assert bitcoin.history(2) == [(D("95000.5"),) * 4] * 2


def test_a_snapshot_goes_on_and_that_of_another_recording_is_refused(tmp_path):
    path = tmp_path / "prices"
    path.write_text(CSV)
    walk, again = load_recording(path)["btc_usd"], load_recording(path)["btc_usd"]
    walk.advance(2)
    again.restore(walk.snapshot())
    assert again.price == walk.price == 96_000
    with pytest.raises(ValueError, match="is not of"):
        load_recording(path)["eth_usd"].restore(walk.snapshot())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no prices"),
        ("timestamp,price,index_name\n", "has no prices"),
        ("{\n", "line 1: line is not JSON"),
        ('{"timestamp": 1, "price": 2}\n', "line 1: index_name is missing"),
        ('{"timestamp": 1, "price": 2, "index_name": 3}\n', "index_name is 3, not a name"),
        ('{"timestamp": 1, "price": null, "index_name": "a"}\n', "price is missing"),
        ("timestamp,price,index_name\n1,cheap,btc_usd\n", "line 2: price is 'cheap', not a number"),
        ("timestamp,price,index_name\n1,-2,btc_usd\n", "price is '-2', not positive"),
        ("timestamp,price,index_name\n1,NaN,btc_usd\n", "price is 'NaN', not positive"),
        ("timestamp,price,index_name\n5,1,a\n4,1,a\n", "line 3: timestamp 4 is before"),
        ("price,index_name\n1,a\n", "line 2: timestamp is missing"),
    ],
)
def test_a_bad_recording_is_refused_by_file_line_and_field(tmp_path, text, complaint):
    path = tmp_path / "prices"
    path.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        load_recording(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(Misconfigured, match="cannot be read"):
            load_recording(path)
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_recording(tmp_path / "raw")


def test_a_script_gives_prices_at_its_times():
    walk = scripted_walk("btc_usd", [(0, D(1)), (1.5, D(2)), (2, D(3))])
    assert [walk.price, *(walk.advance(0.5) for _ in range(5))] == [1, 1, 1, 2, 3, 3]


def test_a_script_of_ticks_gives_one_price_a_move():
    walk = TickScript([D(1), D(2), D(3)])
    assert [walk.price, walk.advance(99), walk.advance(0.1), walk.advance(1)] == [1, 2, 3, 3]
    again = TickScript([D(1), D(2), D(3)])
    again.restore(walk.snapshot())
    assert again.price == 3
    assert again.history(1) == [(D(1),) * 4]
    with pytest.raises(ValueError, match="not in a script"):
        again.restore({"place": 3})


def test_a_script_drives_the_exchange(make_desk):
    desk = make_desk(walks={"btc_usd": TickScript([D(95_000), D(90_000), D(99_000)])})
    desk.wait(100)
    assert desk.market("BTC-PERPETUAL").index_price == 90_000
    desk.wait(100)
    assert desk.market("BTC-25DEC26").index_price == 99_000
