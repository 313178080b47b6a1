"""The order in which the parts come and go.

Start: session → first good reconcile → strategies → ready; the lease is held, and the operator's
file and the ledger are open before that.
Stop: HTTP → reconciler → strategies → entries → checkpoint → session → ledger.
"""

import asyncio
import contextlib
import os
import signal
from typing import Any

import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink
from vigil.deribit.rest import RestWitness
from vigil.desk.desk import Desk
from vigil.desk.withdrawal import withdraw_entries
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.checkpoint import Checkpoint
from vigil.fleet.desired import DesiredState
from vigil.fleet.dispatch import Dispatch
from vigil.fleet.fleet import CHILD_PREFIX, Fleet
from vigil.fleet.locks import Locks
from vigil.fleet.memory import checkpoint_of
from vigil.fleet.state_file import StateFile
from vigil.fleet.troubles import TroubleLog
from vigil.fleet.vitals import Vitals
from vigil.ledger.ledger import Ledger
from vigil.reconcile.reconciler import Reconciler
from vigil.supervision.lease import Lease
from vigil.supervision.restarts import Backoff, ChildSpec, RestartPolicy
from vigil.supervision.stall import StallGuard
from vigil.supervision.supervisor import Supervisor
from vigil.supervision.watchdog import Watchdog
from vigil.web.server import ApiServer

log = structlog.get_logger(__name__)

SESSION = "session"
CHECKPOINT_INTERVAL_S = 60.0

# While the exchange cannot be reached the start goes on waiting, and systemd is told so.
START_LOOK_S = 0.5
START_EXTENSION_USEC = 30_000_000

# Importing the HTTP server costs more than the rest of a start; requests wait for it meanwhile.
API_DELAY_S = 1.0

# Settled only after a while that no attempt to open a session lasts, however slowly it fails.
SESSION_BACKOFF = Backoff(base_s=0.5, cap_s=30.0, settled_s=60.0)


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that is started or stopped, or needed for that."""

    clock: Clock
    version: str
    lease: Lease
    supervisor: Supervisor
    watchdog: Watchdog
    stall: StallGuard
    vitals: Vitals
    ledger: Ledger
    checkpoint: Checkpoint
    state_file: StateFile
    desired: DesiredState
    authority: Authority
    dispatch: Dispatch
    client: DeribitClient
    link: DeribitLink
    witness: RestWitness
    account: AccountStream
    troubles: TroubleLog
    locks: Locks
    desk: Desk
    fleet: Fleet
    reconciler: Reconciler
    api: ApiServer


class Lifecycle:
    """One life of the whole, from the start to the end of the process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._desired = parts.desired
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until told to stop, stop in order.

        Raises: Misconfigured, when the start cannot succeed without a person.
        """
        parts = self._parts
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(parts.supervisor.run(), name="supervisor")
                try:
                    await self._start()
                    await self._stop.wait()
                finally:
                    await self._shut_down()
        except* Misconfigured as errors:
            raise errors.exceptions[0] from None
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await parts.witness.close()
            await parts.ledger.close()
            parts.watchdog.close()
            log.info("vigil.stopped")

    async def _start(self) -> None:
        parts = self._parts
        parts.api.bind()
        await parts.fleet.validate(self._desired)
        await parts.fleet.apply(self._desired)
        add = parts.supervisor.add_child
        add(ChildSpec(name=SESSION, start=parts.link.run, backoff=SESSION_BACKOFF))
        add(ChildSpec(name="account stream", start=parts.account.run))
        add(ChildSpec(name="troubles", start=parts.troubles.run))
        add(ChildSpec(name="locks", start=parts.locks.run))
        add(ChildSpec(name="instruments", start=parts.fleet.instruments.run))
        add(ChildSpec(name="reconciler", start=parts.reconciler.run))
        add(ChildSpec(name="stall guard", start=parts.stall.run))
        add(ChildSpec(name="watchdog", start=lambda: parts.watchdog.run(parts.vitals.not_alive)))
        add(ChildSpec(name="api", start=self._serve_api, restart=RestartPolicy.TRANSIENT))
        await self._until(parts.dispatch.first_session)
        await self._check_with_exchange()
        await self._until(parts.dispatch.first_pass)
        if self._stop.is_set():
            return
        await parts.fleet.start()
        add(ChildSpec(name="state file", start=self._watch_state_file))
        add(ChildSpec(name="checkpoint", start=self._keep_checkpoint))
        parts.vitals.is_started = True
        self._ready.set()
        parts.watchdog.ready()
        parts.watchdog.status(f"{len(parts.fleet.members)} strategies")
        log.info("vigil.ready", strategies=len(parts.fleet.members))

    async def _check_with_exchange(self) -> None:
        """What only the exchange can tell: whose key this is, and what the strategies name.

        Raises: Misconfigured.
        """
        parts = self._parts
        while not self._stop.is_set():
            try:
                await parts.ledger.claim(await parts.client.account_id())
                await parts.fleet.validate(self._desired)
            except Rejected as refusal:
                raise Misconfigured(
                    f"the API key may not read its account ({refusal}): give it account:read and "
                    "trade:read_write"
                ) from refusal
            except (Transient, OutcomeUnknown) as error:
                log.warning("start.waiting", reason=str(error))
                await parts.clock.sleep(START_LOOK_S)
            else:
                return

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for a step of the start, for as long as it takes, unless told to stop.

        Raises: Misconfigured, when the exchange refuses us meanwhile.
        """
        while not (event.is_set() or self._stop.is_set()):
            self._check_key()
            self._parts.watchdog.extend_timeout(START_EXTENSION_USEC)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_LOOK_S):
                    await event.wait()

    def _check_key(self) -> None:
        """A key that never worked ends the start.

        One that did, and was revoked or cut down, is tried again ever more rarely: positions are
        held, and their stops rest meanwhile.

        Raises: Misconfigured.
        """
        if self._parts.client.epoch:
            return
        for child in self._parts.supervisor.status():
            if child.name == SESSION and child.is_misconfigured:
                raise Misconfigured(child.last_error or "the exchange refuses the API key")

    async def _shut_down(self) -> None:
        """Stop in reverse order, each step logged and bounded."""
        parts = self._parts
        parts.vitals.is_started = False
        parts.watchdog.stopping()
        parts.authority.refuse("stop", "Vigil is stopping")
        _step("refusing HTTP requests")
        await self._remove("api")
        await parts.api.stop()
        _step("stopping the reconciler")
        await self._remove("state file", "reconciler")
        _step("stopping strategies, their stops stay at the exchange")
        names = [child.name for child in parts.supervisor.status()]
        await self._remove(*(name for name in names if name.startswith(CHILD_PREFIX)))
        if parts.client.epoch:  # also between two sessions: people are told of what stays behind
            _step("withdrawing entries")
            await withdraw_entries(parts.ledger, parts.desk, parts.client, parts.clock)
        _step("saving the checkpoint")
        await self._remove("checkpoint")
        self._save_checkpoint()
        _step("closing the Deribit session")
        await self._remove(SESSION)
        await parts.supervisor.stop_all()
        if parts.supervisor.abandoned:
            # What swallowed its cancellation would keep the interpreter waiting for ever.
            log.error("shutdown.abandoned", children=parts.supervisor.abandoned)
            await parts.ledger.close()
            os._exit(0)

    async def _remove(self, *names: str) -> None:
        supervisor = self._parts.supervisor
        present = {child.name for child in supervisor.status()}
        for name in names:
            if name in present:
                await supervisor.remove_child(name)

    async def _serve_api(self) -> None:
        """Answer requests once trading goes on; sooner when the start has to wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(API_DELAY_S):
                await self._ready.wait()
        await self._parts.api.serve()
        log.info("api.listening", url=self._parts.api.url)

    async def _watch_state_file(self) -> None:
        await self._parts.state_file.watch(
            validate=self._parts.fleet.validate,
            on_accept=self._on_desired,
            on_refuse=lambda refused: log.error("state_file.refused", reason=str(refused)),
        )

    async def _on_desired(self, desired: DesiredState) -> None:
        log.info("state_file.accepted", strategies=len(desired.strategies))
        self._desired = desired
        await self._parts.fleet.apply(desired)

    async def _keep_checkpoint(self) -> None:
        while True:
            await self._parts.checkpoint.save_in_thread(self._remembered())
            await self._parts.clock.sleep(CHECKPOINT_INTERVAL_S)

    def _save_checkpoint(self) -> None:
        """At the end; a start that did not come far knows less than the last one has written."""
        if self._ready.is_set():
            self._parts.checkpoint.save(self._remembered())

    def _remembered(self) -> dict[str, Any]:
        parts = self._parts
        last = parts.reconciler.last_run
        return checkpoint_of(
            parts.fleet,
            saved_ms=parts.clock.now_ms(),
            build=parts.version,
            epoch=parts.lease.epoch,
            sessions=parts.client.epoch,
            last_reconciled_ms=None if last is None else last.finished_ms,
        )

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            log.warning("vigil.stopping_at_once", signal=name)
            self._save_checkpoint()
            os._exit(0)
        log.info("vigil.stopping", signal=name)
        self._stop.set()


def _step(what: str) -> None:
    log.info("shutdown.step", step=what)
