"""The composition root: builds every object once, and hands them to each other.

Nothing is sent anywhere from here; `lifecycle` starts and stops what is put together.
"""

import random
import sys
from collections.abc import Mapping

import structlog

from vigil.clock import Clock
from vigil.config import Settings
from vigil.deribit.session import ApiKey, AuthMethod
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.checkpoint import Checkpoint
from vigil.fleet.desired import DesiredState
from vigil.fleet.dispatch import Dispatch
from vigil.fleet.environment import check_environment
from vigil.fleet.exchange_road import open_road
from vigil.fleet.executor import Tools
from vigil.fleet.fleet import Fleet
from vigil.fleet.locks import Locks
from vigil.fleet.memory import standings_in
from vigil.fleet.operations import Operations
from vigil.fleet.state_file import StateFile
from vigil.fleet.troubles import TroubleLog
from vigil.fleet.vitals import Vitals
from vigil.ledger.ledger import Ledger
from vigil.lifecycle import Lifecycle, Parts
from vigil.reconcile.reconciler import Reconciler
from vigil.strategies.catalog import load_catalog
from vigil.supervision.lease import Lease
from vigil.supervision.stall import StallGuard
from vigil.supervision.supervisor import Supervisor
from vigil.supervision.watchdog import Watchdog
from vigil.telemetry.children import log_child_event
from vigil.web.security import load_or_create_token
from vigil.web.server import ApiServer

log = structlog.get_logger(__name__)

LEDGER_NAME = "trades.db"


async def build(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    lease: Lease,
    clock: Clock,
    version: str,
) -> Lifecycle:
    """Open what is on disk and put everything together.

    Raises: Misconfigured, naming the field or path and the fix.
    """
    state_file = StateFile(settings.state_dir / "backend-state.json", clock=clock)
    desired = state_file.load()
    check_environment(desired, settings.environment)
    ledger = await Ledger.open(
        settings.state_dir / LEDGER_NAME, environment=settings.environment, clock=clock
    )
    try:
        return _compose(
            settings,
            environ=environ,
            lease=lease,
            clock=clock,
            version=version,
            state_file=state_file,
            desired=desired,
            ledger=ledger,
        )
    except BaseException:
        await ledger.close()
        raise


def _compose(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    lease: Lease,
    clock: Clock,
    version: str,
    state_file: StateFile,
    desired: DesiredState,
    ledger: Ledger,
) -> Lifecycle:
    client_id, client_secret = settings.require_key()
    checkpoint = Checkpoint(settings.state_dir / "checkpoint.json", clock=clock)
    authority = Authority()
    troubles = TroubleLog(ledger)
    dispatch = Dispatch(authority, troubles)
    ask = dispatch.request_pass
    dice = random.Random()  # noqa: S311 - the dice of backoff and nonces, not of secrets
    supervisor = Supervisor(clock=clock, rng=dice, on_event=log_child_event)
    road = open_road(
        websocket_url=settings.deribit_ws_url,
        http_url=settings.deribit_http_url,
        key=ApiKey(
            client_id=client_id, secret=client_secret, method=AuthMethod(settings.auth_method)
        ),
        clock=clock,
        dice=dice,
        dispatch=dispatch,
    )
    client = road.client
    books = Books(ledger, on_foreign_fill=lambda: ask("foreign fill"))
    account = AccountStream(books, request_pass=ask)
    locks = Locks(source=client, ledger=ledger, clock=clock, request_pass=ask)
    desk = Desk(
        ledger=ledger,
        books=books,
        client=client,
        clock=clock,
        is_shut=locks.is_shut,
        on_unconfirmed=dispatch.take_tidings,
    )
    fleet = Fleet(
        supervisor=supervisor,
        catalog=load_catalog(),
        market=client,
        tools=Tools(
            ledger=ledger,
            books=books,
            desk=desk,
            market=client,
            authority=authority,
            locks=locks,
            clock=clock,
            request_pass=ask,
        ),
        standings=standings_in(checkpoint.load()),
    )
    reconciler = Reconciler(
        ledger=ledger,
        books=books,
        desk=desk,
        exchange=client,
        witness=road.witness,
        clock=clock,
        interval_s=settings.reconcile_interval_s,
        on_pass=lambda run: dispatch.take_pass(run, is_live=client.is_live),
        instrument_names=fleet.instrument_names,
        on_history=dispatch.take_history,
        on_stream_suspect=client.suspect_private_stream,
    )
    dispatch.connect(fleet=fleet, account=account, reconciler=reconciler, locks=locks)
    stall = StallGuard(
        clock=clock,
        dump_to=sys.stderr,
        on_lag=lambda lag_s: log.warning("loop.lagged", lag_ms=round(lag_s * 1000)),
    )
    vitals = Vitals(
        supervisor=supervisor,
        authority=authority,
        locks=locks,
        troubles=troubles,
        state_file=state_file,
        ledger=ledger,
        reconciler=reconciler,
        stall=stall,
        clock=clock,
        reconcile_interval_s=settings.reconcile_interval_s,
    )
    api = ApiServer(
        Operations(
            fleet=fleet,
            state_file=state_file,
            ledger=ledger,
            ledger_path=settings.state_dir / LEDGER_NAME,
            reconciler=reconciler,
            session=client,
            clock=clock,
            vitals=vitals,
            environment=settings.environment,
            version=version,
        ),
        host=settings.http_host,
        port=settings.http_port,
        token=load_or_create_token(settings.state_dir / "api-token", settings.api_token),
        clock=clock,
    )
    return Lifecycle(
        Parts(
            clock=clock,
            version=version,
            lease=lease,
            supervisor=supervisor,
            watchdog=Watchdog(clock=clock, environ=environ),
            stall=stall,
            vitals=vitals,
            ledger=ledger,
            checkpoint=checkpoint,
            state_file=state_file,
            desired=desired,
            authority=authority,
            dispatch=dispatch,
            client=client,
            link=road.link,
            witness=road.witness,
            account=account,
            troubles=troubles,
            locks=locks,
            desk=desk,
            fleet=fleet,
            reconciler=reconciler,
            api=api,
        )
    )
