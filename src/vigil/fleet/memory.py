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
    standings = fleet.standings()
    return {
        "version": FORMAT,
        "savedAt": saved_ms,
        "build": build,
        "epoch": epoch,
        "connection": {"sessions": sessions},
        "lastReconciliation": last_reconciled_ms,
        "strategies": {
            member.id: {
                "name": member.name,
                "status": member.status.value,
                **standings.get(member.id, {}),
            }
            for member in fleet.members
        },
    }


def standings_in(checkpoint: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What was kept of each strategy, by id; empty for a missing or strange checkpoint."""
    strategies = (checkpoint or {}).get("strategies")
    if not isinstance(strategies, dict):
        return {}
    return {
        strategy_id: standing
        for strategy_id, standing in strategies.items()
        if isinstance(standing, dict) and isinstance(standing.get("memory"), dict)
    }
