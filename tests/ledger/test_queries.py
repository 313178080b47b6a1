"""The ledger's SQL."""

import sqlite3
from collections import defaultdict

import pytest

from vigil.ledger.queries import sql, statements

NAMES = sorted(statements())


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_prepares_against_the_schema(name, world):
    parameters = defaultdict(lambda: None)
    plan = world.execute(f"EXPLAIN {sql(name)}", parameters).fetchall()
    assert plan


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_holds_a_second_one(name):
    assert sqlite3.complete_statement(f"{sql(name)};")
    assert ";" not in sql(name)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("trades.open_page", "trades_open"),
        ("trades.estimated", "trades_closed"),
        ("trades.opened_since", "trades_by_entry_time"),
        ("trades.last_exit", "trades_by_exit_time"),
        ("trades.by_entry_order", "trades_by_entry_order"),
        ("orders.working", "orders_working"),
        ("orders.unproven", "orders_working"),
        ("account_log.since", "account_log_by_time"),
        ("account_log.trades_without_fill", "account_log_trades"),
        ("fills.at", "fills_by_instrument"),
        ("orders.by_trade", "orders_by_trade"),
        ("orders.children", "orders_by_trade"),
        ("fills.unbooked", "fills_unbooked"),
        ("fills.unassigned", "fills_unassigned"),
        ("fills.of_trade", "fills_by_own_label"),
        ("fills.last_by_instrument", "fills_by_instrument"),
        ("reports.history", "trades_by_time"),
        ("reports.closed_since", "trades_closed"),
    ],
)
def test_what_runs_often_is_served_by_its_index(name, index, world):
    plan = world.execute(f"EXPLAIN QUERY PLAN {sql(name)}", defaultdict(lambda: None)).fetchall()
    steps = [row[3] for row in plan]
    assert any(index in step for step in steps), steps
    assert not any(
        step.startswith("SCAN")
        and "INDEX" not in step
        and "CTE" not in step
        and step.split()[1] in {"t", "o", "f", "l"}
        for step in steps
    ), steps
