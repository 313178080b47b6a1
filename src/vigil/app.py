"""The composition root: builds every object once, starts in order, stops in reverse.

Start: lease → operator's file → ledger → session → first good reconcile → strategies → ready.
Stop: HTTP → reconciler → strategies → checkpoint → session → ledger.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from vigil.clock import Clock
from vigil.config import Settings
from vigil.deribit.session import ApiKey, AuthMethod
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.desk.withdrawal import withdraw_entries
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.checkpoint import Checkpoint
from vigil.fleet.desired import DesiredState
from vigil.fleet.dispatch import Dispatch
from vigil.fleet.environment import check_environment
from vigil.fleet.exchange_road import open_road
from vigil.fleet.executor import Tools
from vigil.fleet.fleet import CHILD_PREFIX, Fleet
from vigil.fleet.locks import Locks
from vigil.fleet.memory import checkpoint_of, standings_in
from vigil.fleet.operations import Operations
from vigil.fleet.state_file import StateFile
from vigil.fleet.troubles import TroubleLog
from vigil.fleet.vitals import Vitals
from vigil.ledger.ledger import Ledger
from vigil.reconcile.reconciler import Reconciler
from vigil.strategies.catalog import load_catalog
from vigil.supervision.lease import Lease
from vigil.supervision.restarts import Backoff, ChildSpec, RestartPolicy
from vigil.supervision.stall import StallGuard
from vigil.supervision.supervisor import ChildEvent, ChildEventKind, Supervisor
from vigil.supervision.watchdog import Watchdog
from vigil.telemetry.children import log_child_event
from vigil.web.security import load_or_create_token
from vigil.web.server import ApiServer

log = structlog.get_logger(__name__)

SESSION = "session"
LEDGER_NAME = "trades.db"
CHECKPOINT_INTERVAL_S = 60.0

# While the exchange cannot be reached the start goes on waiting, and systemd is told so.
START_LOOK_S = 0.5

# Importing the HTTP server costs more than the rest of a start; requests wait for it meanwhile.
API_DELAY_S = 1.0
START_EXTENSION_USEC = 30_000_000
# Settled only after a while that no attempt to open a session lasts, however slowly it fails.
SESSION_BACKOFF = Backoff(base_s=0.5, cap_s=30.0, settled_s=60.0)


class App:
    """All parts, and the order in which they come and go."""

    def __init__(
        self,
        *,
        settings: Settings,
        environ: Mapping[str, str],
        lease: Lease,
        clock: Clock,
        version: str,
        state_file: StateFile,
        desired: DesiredState,
        ledger: Ledger,
        checkpoint: Checkpoint,
    ) -> None:
        self._lease = lease
        self._clock = clock
        self._version = version
        self._state_file = state_file
        self._desired = desired
        self._ledger = ledger
        self._checkpoint = checkpoint
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._refusal: str | None = None
        client_id, client_secret = settings.require_key()

        self._authority = Authority()
        self._troubles = TroubleLog(ledger)
        self._dispatch = Dispatch(self._authority, self._troubles)
        self._watchdog = Watchdog(clock=clock, environ=environ)
        dice = random.Random()  # noqa: S311 - the dice of backoff and nonces, not of secrets
        self._supervisor = Supervisor(clock=clock, rng=dice, on_event=self._on_child_event)
        road = open_road(
            websocket_url=settings.deribit_ws_url,
            http_url=settings.deribit_http_url,
            key=ApiKey(
                client_id=client_id, secret=client_secret, method=AuthMethod(settings.auth_method)
            ),
            clock=clock,
            dice=dice,
            dispatch=self._dispatch,
        )
        self._client, self._link, self._witness = road.client, road.link, road.witness
        ask = self._dispatch.request_pass
        books = Books(ledger, on_foreign_fill=lambda: ask("foreign fill"))
        self._locks = Locks(source=self._client, ledger=ledger, clock=clock, request_pass=ask)
        self._desk = desk = Desk(
            ledger=ledger,
            books=books,
            client=self._client,
            clock=clock,
            is_shut=self._locks.is_shut,
            on_unconfirmed=self._dispatch.take_tidings,
        )
        self._account = AccountStream(books, on_overflow=lambda: ask("overflow"))
        self._fleet = Fleet(
            supervisor=self._supervisor,
            catalog=load_catalog(),
            market=self._client,
            tools=Tools(
                ledger=ledger,
                books=books,
                desk=desk,
                market=self._client,
                authority=self._authority,
                locks=self._locks,
                clock=clock,
                request_pass=ask,
            ),
            standings=standings_in(checkpoint.load()),
        )
        self._reconciler = Reconciler(
            ledger=ledger,
            books=books,
            desk=desk,
            exchange=self._client,
            witness=self._witness,
            clock=clock,
            interval_s=settings.reconcile_interval_s,
            on_pass=lambda run: self._dispatch.take_pass(run, is_live=self._client.is_live),
            instrument_names=self._fleet.instrument_names,
            on_history=self._dispatch.take_history,
            on_stream_suspect=self._client.suspect_private_stream,
        )
        self._dispatch.connect(
            fleet=self._fleet,
            account=self._account,
            reconciler=self._reconciler,
            locks=self._locks,
        )
        self._stall = StallGuard(
            clock=clock,
            dump_to=sys.stderr,
            on_lag=lambda lag_s: log.warning("loop.lagged", lag_ms=round(lag_s * 1000)),
        )
        self._vitals = Vitals(
            supervisor=self._supervisor,
            authority=self._authority,
            locks=self._locks,
            troubles=self._troubles,
            state_file=state_file,
            ledger=ledger,
            reconciler=self._reconciler,
            stall=self._stall,
            clock=clock,
            reconcile_interval_s=settings.reconcile_interval_s,
        )
        self._api = ApiServer(
            Operations(
                fleet=self._fleet,
                state_file=state_file,
                ledger=ledger,
                ledger_path=settings.state_dir / LEDGER_NAME,
                reconciler=self._reconciler,
                session=self._client,
                clock=clock,
                vitals=self._vitals,
                environment=settings.environment,
                version=version,
            ),
            host=settings.http_host,
            port=settings.http_port,
            token=load_or_create_token(settings.state_dir / "api-token", settings.api_token),
            clock=clock,
        )

    @classmethod
    async def build(
        cls,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        lease: Lease,
        clock: Clock,
        version: str,
    ) -> "App":
        """Open what is on disk and put everything together. Nothing is sent anywhere yet.

        Raises: Misconfigured, naming the field or path and the fix.
        """
        state_dir = settings.state_dir
        state_file = StateFile(state_dir / "backend-state.json", clock=clock)
        desired = state_file.load()
        check_environment(desired, settings.environment)
        ledger = await Ledger.open(
            state_dir / LEDGER_NAME,
            environment=settings.environment,
            clock=clock,
        )
        try:
            return cls(
                settings=settings,
                environ=environ,
                lease=lease,
                clock=clock,
                version=version,
                state_file=state_file,
                desired=desired,
                ledger=ledger,
                checkpoint=Checkpoint(state_dir / "checkpoint.json", clock=clock),
            )
        except BaseException:
            await ledger.close()
            raise

    async def run(self) -> None:
        """Start, serve until told to stop, stop in order.

        Raises: Misconfigured, when the start cannot succeed without a person.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._supervisor.run(), name="supervisor")
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
            await self._witness.close()
            await self._ledger.close()
            self._watchdog.close()
            log.info("vigil.stopped")

    async def _start(self) -> None:
        self._api.bind()
        await self._fleet.validate(self._desired)
        await self._fleet.apply(self._desired)
        add = self._supervisor.add_child
        add(ChildSpec(name=SESSION, start=self._link.run, backoff=SESSION_BACKOFF))
        add(ChildSpec(name="account stream", start=self._account.run))
        add(ChildSpec(name="troubles", start=self._troubles.run))
        add(ChildSpec(name="locks", start=self._locks.run))
        add(ChildSpec(name="instruments", start=self._fleet.instruments.run))
        add(ChildSpec(name="reconciler", start=self._reconciler.run))
        add(ChildSpec(name="stall guard", start=self._stall.run))
        add(ChildSpec(name="watchdog", start=lambda: self._watchdog.run(self._vitals.not_alive)))
        add(ChildSpec(name="api", start=self._serve_api, restart=RestartPolicy.TRANSIENT))
        await self._until(self._dispatch.first_session)
        await self._check_with_exchange()
        await self._until(self._dispatch.first_pass)
        if self._stop.is_set():
            return
        await self._fleet.start()
        add(ChildSpec(name="state file", start=self._watch_state_file))
        add(ChildSpec(name="checkpoint", start=self._keep_checkpoint))
        self._vitals.is_started = True
        self._ready.set()
        self._watchdog.ready()
        self._watchdog.status(f"{len(self._fleet.members)} strategies")
        log.info("vigil.ready", strategies=len(self._fleet.members))

    async def _check_with_exchange(self) -> None:
        """What only the exchange can tell: whose key this is, and what the strategies name.

        Raises: Misconfigured.
        """
        while not self._stop.is_set():
            try:
                await self._ledger.claim(await self._client.account_id())
                await self._fleet.validate(self._desired)
            except Rejected as refusal:
                raise Misconfigured(
                    f"the API key may not read its account ({refusal}): give it account:read and "
                    "trade:read_write"
                ) from refusal
            except (Transient, OutcomeUnknown) as error:
                log.warning("start.waiting", reason=str(error))
                await self._clock.sleep(START_LOOK_S)
            else:
                return

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for a step of the start, for as long as it takes, unless told to stop.

        Raises: Misconfigured, when the exchange refuses us meanwhile.
        """
        while not (event.is_set() or self._stop.is_set()):
            if self._refusal is not None:
                raise Misconfigured(self._refusal)
            self._watchdog.extend_timeout(START_EXTENSION_USEC)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_LOOK_S):
                    await event.wait()

    async def _shut_down(self) -> None:
        """Stop in reverse order, each step logged and bounded."""
        self._vitals.is_started = False
        self._watchdog.stopping()
        self._authority.refuse("stop", "Vigil is stopping")
        _step("refusing HTTP requests")
        await self._remove("api")
        await self._api.stop()
        _step("stopping the reconciler")
        await self._remove("state file", "reconciler")
        _step("stopping strategies, their stops stay at the exchange")
        await self._remove(
            *(
                child.name
                for child in self._supervisor.status()
                if child.name.startswith(CHILD_PREFIX)
            )
        )
        if self._client.is_live:
            _step("withdrawing entries")
            await withdraw_entries(self._ledger, self._desk, self._client, self._clock)
        _step("saving the checkpoint")
        await self._remove("checkpoint")
        if self._ready.is_set():  # else the last one says more than this start knows
            self._checkpoint.save(self._remembered())
        _step("closing the Deribit session")
        await self._remove(SESSION)
        await self._supervisor.stop_all()
        if self._supervisor.abandoned:
            # What swallowed its cancellation would keep the interpreter waiting for ever.
            log.error("shutdown.abandoned", children=self._supervisor.abandoned)
            await self._ledger.close()
            os._exit(0)

    async def _remove(self, *names: str) -> None:
        present = {child.name for child in self._supervisor.status()}
        for name in names:
            if name in present:
                await self._supervisor.remove_child(name)

    async def _serve_api(self) -> None:
        """Answer requests once trading goes on; sooner when the start has to wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(API_DELAY_S):
                await self._ready.wait()
        await self._api.serve()
        log.info("api.listening", url=self._api.url)

    async def _watch_state_file(self) -> None:
        await self._state_file.watch(
            validate=self._fleet.validate,
            on_accept=self._on_desired,
            on_refuse=lambda refused: log.error("state_file.refused", reason=str(refused)),
        )

    async def _on_desired(self, desired: DesiredState) -> None:
        log.info("state_file.accepted", strategies=len(desired.strategies))
        self._desired = desired
        await self._fleet.apply(desired)

    async def _keep_checkpoint(self) -> None:
        while True:
            await self._checkpoint.save_in_thread(self._remembered())
            await self._clock.sleep(CHECKPOINT_INTERVAL_S)

    def _remembered(self) -> dict[str, Any]:
        last = self._reconciler.last_run
        return checkpoint_of(
            self._fleet,
            saved_ms=self._clock.now_ms(),
            build=self._version,
            epoch=self._lease.epoch,
            sessions=self._client.epoch,
            last_reconciled_ms=None if last is None else last.finished_ms,
        )

    def _on_child_event(self, event: ChildEvent) -> None:
        log_child_event(event)
        if event.kind is not ChildEventKind.MISCONFIGURED or event.name != SESSION:
            return
        if self._client.epoch == 0:
            # A key that never worked ends the start. One that did, and was revoked or cut down, is
            # tried again ever more rarely: positions are held, and their stops rest meanwhile.
            self._refusal = event.reason

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            log.warning("vigil.stopping_at_once", signal=name)
            self._checkpoint.save(self._remembered())
            os._exit(0)
        log.info("vigil.stopping", signal=name)
        self._stop.set()


def _step(what: str) -> None:
    log.info("shutdown.step", step=what)
