"""Names become strategies; plugins that break hurt nobody else."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vigil.errors import Misconfigured
from vigil.strategies.catalog import (
    GROUP,
    BrokenStrategy,
    Catalog,
    InvalidParameters,
    UnknownStrategy,
    load_catalog,
)
from vigil.strategies.razor import Razor

CONFIG = {"instrument": "BTC_USDC-PERPETUAL", "timeframeS": 1, "onStop": "flatten"}

GOOD = """
from vigil.strategies.parameters import StrategyParameters
from vigil.strategies.razor import Razor
class Plugin:
    Parameters = StrategyParameters
    def __init__(self, parameters):
        self.parameters = parameters
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch):
    """Write modules and get a catalog that finds them as plugins of the same name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(**sources: str) -> Catalog:
        for name, source in sources.items():
            (tmp_path / f"vigil_plugin_{name}.py").write_text(source)
        entries = [EntryPoint(name, f"vigil_plugin_{name}:Plugin", GROUP) for name in sources]
        return Catalog({"Razor": Razor}, lambda: entries)

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("vigil_plugin_"):
            del sys.modules[name]


def test_builds_razor_without_looking_at_installed_packages():
    def scan():
        raise AssertionError("scanned")

    strategy = Catalog({"Razor": Razor}, scan).build("Razor", CONFIG)
    assert isinstance(strategy, Razor)
    assert strategy.instrument_name == "BTC_USDC-PERPETUAL"
    assert strategy.is_flattened_on_stop


def test_installed_catalog_knows_razor_once():
    assert load_catalog().names().count("Razor") == 1


def test_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownStrategy, match=r"known are Razor; did you mean 'Razor'\?") as caught:
        Catalog({"Razor": Razor}, list).build("razr", CONFIG)
    assert isinstance(caught.value, Misconfigured)


def test_unknown_name_far_from_all_gets_no_guess():
    with pytest.raises(UnknownStrategy, match=r"known are Razor$"):
        Catalog({"Razor": Razor}, list).build("MeanReverter", CONFIG)


def test_wrong_parameters_build_nothing():
    with pytest.raises(InvalidParameters, match=r"config\.tradeSize"):
        load_catalog().build("Razor", {**CONFIG, "tradeSize": -1})


def test_plugin_is_built_with_its_own_parameter_model(plugins):
    strategy = plugins(Good=GOOD).build("Good", {"instrument": "X"})
    assert strategy.parameters.instrument == "X"


def test_plugin_is_imported_only_when_asked_for(plugins):
    catalog = plugins(Good=GOOD, Bad="raise RuntimeError('boom')")
    assert catalog.names() == ("Bad", "Good", "Razor")
    catalog.build("Good", {"instrument": "X"})
    assert catalog.problems == {}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("raise RuntimeError('boom')", "boom", id="raises at import"),
        pytest.param("raise SystemExit(3)", "SystemExit", id="exits at import"),
        pytest.param("def", "SyntaxError", id="is no Python"),
        pytest.param("", "AttributeError", id="lacks the class"),
        pytest.param("class Plugin: pass", "`Parameters`", id="lacks the model"),
        pytest.param("class Plugin: Parameters = dict", "`Parameters`", id="has another model"),
        pytest.param("Plugin = 5", "not a class", id="is no class"),
    ],
)
def test_broken_plugin_is_reported_and_the_others_go_on(plugins, source, words):
    catalog = plugins(Good=GOOD, Bad=source)
    with pytest.raises(BrokenStrategy, match=words):
        catalog.build("Bad", CONFIG)
    assert words in catalog.problems["Bad"]
    catalog.build("Good", {"instrument": "X"})
    assert isinstance(catalog.build("Razor", CONFIG), Razor)


def test_plugin_cannot_take_a_built_in_name(plugins):
    assert isinstance(plugins(Razor=GOOD).build("Razor", CONFIG), Razor)
