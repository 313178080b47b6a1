import random
from decimal import Decimal
from statistics import fmean, pstdev

from vigil.paper.market.feed import PriceWalk
from vigil.paper.market.premium import drifted

CENTRE = Decimal("0.00005")


def wander(seconds, steps, *, start=CENTRE, seed=1):
    dice, premium, seen = random.Random(seed), start, []
    for _ in range(steps):
        premium = drifted(premium, CENTRE, seconds, dice)
        seen.append(premium)
    return seen


def test_it_strays_mostly_within_the_dead_band_and_now_and_then_out_of_it():
    seen = wander(60.0, 20_000)
    outside = sum(abs(premium) > Decimal("0.00025") for premium in seen) / len(seen)
    assert 0.001 < outside < 0.1
    assert abs(fmean(map(float, seen)) - float(CENTRE)) < 0.00002


def test_how_far_it_strays_does_not_depend_on_the_step():
    fine = pstdev(float(p) for p in wander(1.0, 40_000))
    coarse = pstdev(float(p) for p in wander(300.0, 4_000))
    assert 0.6 < fine / coarse < 1.6


def test_it_comes_back_within_minutes():
    assert abs(wander(3_600.0, 1, start=Decimal("0.01"))[0]) < Decimal("0.0006")


def test_no_time_is_no_change():
    assert drifted(Decimal("0.0003"), CENTRE, 0.0, random.Random(1)) == Decimal("0.0003")


def test_a_live_market_shows_it_and_a_set_one_wanders_about_there(make_desk):
    walk = PriceWalk(seed=3, index_name="btc", start_price=Decimal(95_000))
    desk = make_desk(walks={"btc_usdc": walk})
    market = desk.market()
    desk.venue.exchange.set_premium("BTC_USDC-PERPETUAL", Decimal("0.002"), desk.now_ms)
    assert abs(market.mark_price / market.index_price - 1 - Decimal("0.002")) < Decimal("0.000001")
    seen = set()
    for _ in range(30):
        desk.wait(1000)
        seen.add(market.premium)
    assert len(seen) > 20
    assert all(abs(premium - Decimal("0.002")) < Decimal("0.0005") for premium in seen)
    assert market.current_funding > Decimal("0.001")
