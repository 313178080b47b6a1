"""A command changes what it must and keeps the person's own writing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.standing import DesiredStatus
from vigil.fleet.desired import DesiredState, DesiredStrategy, parse
from vigil.fleet.edits import with_status, with_strategy

ODD = """{ "activeStrategies" : [
\t{"status":"active" , "config":{"b":1.50,"a":[ 1 ]}, "name":"Razor",
\t "id":"x"},

\t{"id":"y", "name":"Razor","status":"paused","config":{}}   ],
  "version":1 }"""


def read(text: str) -> DesiredState:
    return parse(text.encode(), path="f")


def strategy(strategy_id: str, **changes) -> DesiredStrategy:
    given_fields = {
        "id": strategy_id,
        "name": "Razor",
        "status": DesiredStatus.ACTIVE,
        "account": None,
        "config": {"tradeSize": Decimal("10.50")},
    }
    return DesiredStrategy(**(given_fields | changes))


def test_a_status_changes_and_not_one_other_character():
    assert with_status(read(ODD), "x", DesiredStatus.STOPPED) == ODD.replace(
        '"active"', '"stopped"'
    )
    assert with_status(read(ODD), "y", DesiredStatus.ACTIVE) == ODD.replace('"paused"', '"active"')


def test_a_new_strategy_follows_the_last_one_and_the_rest_is_kept():
    text = with_strategy(read(ODD), strategy("z"))
    assert read(text).strategies == (*read(ODD).strategies, strategy("z"))
    before, after = ODD.split("   ],")
    assert text.startswith(before)
    assert text.endswith("   ]," + after)
    assert '"tradeSize": 10.50' in text


def test_a_strategy_of_that_id_is_replaced_in_its_place():
    changed = strategy("x", account="sub", status=DesiredStatus.PAUSED)
    text = with_strategy(read(ODD), changed)
    assert read(text).strategies == (changed, read(ODD).strategies[1])


@pytest.mark.parametrize("text", ['{"activeStrategies": []}', '{\n  "activeStrategies": [\n  ]\n}'])
def test_the_first_strategy_goes_into_the_empty_list(text):
    assert read(with_strategy(read(text), strategy("z"))).strategies == (strategy("z"),)


CONFIGS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text('aé"\\\n'),
    max_size=4,
)


@given(CONFIGS, st.sampled_from(["x", "y", "z"]), st.sampled_from(DesiredStatus))
def test_whatever_is_put_reads_back_and_nothing_else_changes(config, strategy_id, status):
    put = strategy(strategy_id, config=config, status=status)
    after = {each.id: each for each in read(with_strategy(read(ODD), put)).strategies}
    before = {each.id: each for each in read(ODD).strategies}
    assert after == before | {strategy_id: put}
