from decimal import Decimal

import pytest

from vigil.cli_views import Paint, error_view, strategies_view, trades_view

PLAIN = Paint(is_coloured=False)
COLOURED = Paint(is_coloured=True)


def trade(**changes):
    return {
        "id": "t1",
        "strategyName": "Razor",
        "strategyId": "razor-btc",
        "instrument": "BTC_USDC-PERPETUAL",
        "side": "buy",
        "amount": Decimal("0.0100"),
        "entryPrice": Decimal("95000.50"),
        "entryTime": 1_700_000_000_000,
        "exitPrice": 95500,
        "pnl": Decimal("1E-8"),
        "pnlCurrency": "USDC",
        "pnlSource": "fills",
        "status": "closed",
        "exitReason": "tp_hit",
        **changes,
    }


def test_columns_line_up_and_figures_end_together():
    head, first, second = trades_view(
        [trade(), trade(strategyId=None, pnl=Decimal("-1234.5"), exitReason=None)], PLAIN
    ).splitlines()
    end = head.index("PNL") + len("PNL")
    assert first[:end].endswith("0.00000001")
    assert second[:end].endswith("-1234.5")
    assert head.index("STATUS") == first.index("closed") == second.index("closed")
    assert second.endswith("-")


def test_times_are_utc_and_amounts_canonical():
    text = trades_view([trade()], PLAIN)
    assert "2023-11-14 22:13:20" in text
    assert " 0.01 " in text
    assert "95000.5 " in text


def test_unknown_figures_are_a_dash():
    line = trades_view([trade(pnl=None, exitPrice=None, pnlSource=None)], PLAIN).splitlines()[1]
    assert line.split()[7:11] == ["-", "-", "USDC", "-"]


def strategy(**changes):
    return {
        "id": "razor-btc",
        "name": "Razor",
        "instrument": "BTC_USDC-PERPETUAL",
        "status": "active",
        "analysisState": "analyzing",
        "trade": None,
        "dailyTrades": 0,
        "dailyTradesMax": 5,
        "cooldownUntilTime": None,
        "checkpoints": [{"name": "rsi", "value": "50", "wanted": "< 35", "passed": False}],
        "lastError": None,
        "refusal": None,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({}, "rsi 50, wanted < 35", id="its own condition"),
        pytest.param(
            {"refusal": "account_locked: the account is locked in BTC"},
            "account_locked: the account is locked in BTC",
            id="what forbids any entry goes before it",
        ),
        pytest.param(
            {
                "refusal": "stale_data: quote is 9000 ms off",
                "trade": {"side": "buy", "openAmount": 1},
            },
            "-",
            id="who holds a position waits for no entry",
        ),
    ],
)
def test_a_strategy_says_what_it_waits_for(changes, shown):
    line = strategies_view([strategy(**changes)], PLAIN).splitlines()[1]
    assert line.split("/5  ")[1] == shown


def test_nothing_to_show_is_said():
    assert trades_view([], PLAIN) == "No trades."
    assert strategies_view([], PLAIN).startswith("No strategies.")


def test_colours_do_not_move_columns():
    plain = trades_view([trade(status="open"), trade()], PLAIN)
    coloured = trades_view([trade(status="open"), trade()], COLOURED)
    assert "\x1b[32mopen" in coloured
    stripped = coloured
    for code in ("0", "1", "2", "31", "32", "33"):
        stripped = stripped.replace(f"\x1b[{code}m", "")
    assert stripped == plain


@pytest.mark.parametrize("name", ["\x1b[2Jgone", "a\nb", "a\rb", "\u202egnp.exe", "\x00"])
def test_names_cannot_steer_the_terminal(name):
    text = trades_view([trade(strategyId=name)], PLAIN)
    assert len(text.splitlines()) == 2
    assert name not in text
    assert "?" in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param({"error": {"message": "no", "fix": "try"}}, "no. Fix: try", id="with fix"),
        pytest.param({"error": {"message": "no"}}, "no", id="without fix"),
        pytest.param({}, "it answered 500 without saying why", id="no error"),
        pytest.param({"error": "x"}, "it answered 500 without saying why", id="another shape"),
    ],
)
def test_errors_are_one_sentence_and_a_fix(content, expected):
    assert error_view(500, content) == expected
