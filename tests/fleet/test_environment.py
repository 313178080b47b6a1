"""The operator's file and the exchange's address must agree, above all about real money."""

import pytest

from vigil.errors import Misconfigured
from vigil.fleet.desired import parse
from vigil.fleet.environment import check_environment


def wanted(head: str):
    return parse(f'{{"version": 1, {head} "activeStrategies": []}}'.encode(), path="state.json")


@pytest.mark.parametrize(
    ("head", "environment"),
    [
        pytest.param("", "paper", id="silent file on paper"),
        pytest.param("", "testnet", id="silent file on testnet"),
        pytest.param('"environment": "paper",', "paper", id="paper and paper"),
        pytest.param(
            '"environment": "live", "disclaimerAccepted": true,', "live", id="live, twice yes"
        ),
    ],
)
def test_agreement_is_accepted(head: str, environment: str) -> None:
    check_environment(wanted(head), environment)


@pytest.mark.parametrize(
    ("head", "environment", "words"),
    [
        pytest.param('"environment": "paper",', "testnet", "paper.*testnet", id="paper on testnet"),
        pytest.param('"environment": "testnet",', "live", "testnet.*live", id="testnet on live"),
        pytest.param('"environment": "live",', "paper", "live.*paper", id="live on paper"),
        pytest.param(
            '"disclaimerAccepted": true,', "live", "environment is missing", id="live by accident"
        ),
        pytest.param('"environment": "live",', "live", "disclaimerAccepted", id="no disclaimer"),
        pytest.param(
            '"environment": "live", "disclaimerAccepted": false,',
            "live",
            "disclaimerAccepted",
            id="disclaimer refused",
        ),
    ],
)
def test_disagreement_refuses_to_start(head: str, environment: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        check_environment(wanted(head), environment)
