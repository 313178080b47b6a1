"""The state of the whole: every part's signs of life, put to the one judge.

`/health`, `/ready` and the watchdog all ask here. The watchdog hears only of what a restart may
cure: an exchange that is down is no reason to restart.
"""

from collections.abc import Iterator

from vigil.clock import Clock
from vigil.fleet.authority import Authority
from vigil.fleet.locks import Locks
from vigil.fleet.state_file import StateFile
from vigil.fleet.troubles import TroubleLog
from vigil.ledger.ledger import Ledger
from vigil.reconcile.reconciler import PASS_TIMEOUT_S, Reconciler
from vigil.supervision.health import Assessment, Beat, Fact, Severity, assess
from vigil.supervision.stall import StallGuard
from vigil.supervision.supervisor import ChildState, Supervisor

LOOP_BEAT_AGE_S_MAX = 10.0
PASS_SLACK_S = 30.0


class Vitals:
    """Judges the whole from its parts.

    Args:
        reconcile_interval_s: Longest regular rest between two passes.
    """

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        authority: Authority,
        locks: Locks,
        troubles: TroubleLog,
        state_file: StateFile,
        ledger: Ledger,
        reconciler: Reconciler,
        stall: StallGuard,
        clock: Clock,
        reconcile_interval_s: float,
    ) -> None:
        self._supervisor = supervisor
        self._authority = authority
        self._locks = locks
        self._troubles = troubles
        self._state_file = state_file
        self._ledger = ledger
        self._reconciler = reconciler
        self._stall = stall
        self._clock = clock
        self._reconcile_interval_s = reconcile_interval_s
        self.is_started = False

    def unready(self) -> str | None:
        """Why trading may not go on now; None when it may."""
        refusal = self._authority.refusal
        return refusal if self.is_started else refusal or "starting"

    def assess(self) -> Assessment:
        """The verdict, and every reason for it."""
        return assess(self._beats(), self._facts(), self._clock.elapsed_s())

    def not_alive(self) -> str | None:
        """Why systemd should restart the process; None while it should not."""
        broken = [
            f"{reason.name} {reason.text}"
            for reason in self.assess().reasons
            if reason.severity is Severity.BREAKS
        ]
        return "; ".join(broken) or None

    def _beats(self) -> Iterator[Beat]:
        yield Beat(name="event loop", last_s=self._stall.last_beat_s, max_age_s=LOOP_BEAT_AGE_S_MAX)
        yield Beat(
            name="reconciler",
            last_s=self._reconciler.last_beat_s,
            max_age_s=self._reconcile_interval_s + PASS_TIMEOUT_S + PASS_SLACK_S,
        )

    def _facts(self) -> Iterator[Fact]:
        refusal = self._authority.refusal
        yield Fact(name="trading", is_ok=refusal is None, reason=refusal or "")
        for scope, what in self._locks.closures.standing.items():
            yield Fact(name=scope.kind.value, is_ok=False, reason=what)
        for name, what in self._troubles.standing.items():
            yield Fact(name=name, is_ok=False, reason=what)
        problem = self._state_file.problem
        yield Fact(
            name="state file",
            is_ok=problem is None,
            reason=f"{problem}; the last good version stays in force",
        )
        last = self._reconciler.last_run
        if last is not None:
            yield Fact(
                name="reconciliation",
                is_ok=last.outcome == "ok",
                reason=f"{last.outcome}: {last.reason}",
            )
        trouble = self._ledger.problem
        yield Fact(
            name="ledger",
            is_ok=trouble is None,
            reason=trouble or "",
            severity=Severity.BREAKS,
        )
        for child in self._supervisor.status():
            is_down = child.state in {ChildState.BACKOFF, ChildState.FAILED, ChildState.ABANDONED}
            yield Fact(
                name=child.name,
                is_ok=not is_down,
                reason=f"{child.state.value}: {child.last_error}",
            )
