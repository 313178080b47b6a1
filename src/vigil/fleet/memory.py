"""What is put into the checkpoint, and what is taken back out of it.

Nothing that safety needs lives only here: positions, orders, counts and exits come from the
ledger. The checkpoint spares strategies their warm-up, and tells people what was going on.
"""

from collections.abc import Mapping
from typing import Any

from vigil.fleet.fleet import Fleet

FORMAT = 1


def checkpoint_of(
    fleet: Fleet,
    *,
    saved_ms: int,
    build: str,
    epoch: int,
    sessions: int,
    last_reconciled_ms: int | None,
) -> dict[str, Any]:
    """The machine's file, as JSON values.

    Args:
        epoch: Number of this process's lease.
        sessions: Exchange sessions of this process so far.
    """
    memories = fleet.memories()
    strategies: dict[str, Any] = {}
    for member in fleet.members:
        executor = fleet.executor(member.id)
        state = None if executor is None else executor.state
        strategies[member.id] = {
            "name": member.name,
            "status": member.status.value,
            "analysisState": fleet.analysis_state(member.id).value,
            "tradeId": None if state is None or state.trade is None else state.trade.trade_id,
            "lastExitTime": None if state is None else state.last_exit_ms,
            "tradesToday": None if state is None else state.trades_on(saved_ms),
            "memory": memories.get(member.id),
        }
    return {
        "version": FORMAT,
        "savedAt": saved_ms,
        "build": build,
        "epoch": epoch,
        "connection": {"sessions": sessions},
        "lastReconciliation": last_reconciled_ms,
        "strategies": strategies,
    }


def memories_in(checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """What each strategy remembered, by id; empty for a missing or strange checkpoint."""
    strategies = (checkpoint or {}).get("strategies")
    if not isinstance(strategies, dict):
        return {}
    return {
        strategy_id: entry["memory"]
        for strategy_id, entry in strategies.items()
        if isinstance(entry, dict) and isinstance(entry.get("memory"), dict)
    }
