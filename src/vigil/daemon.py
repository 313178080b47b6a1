"""The process around the application: settings, logs, the lease, and the exit status.

`vigil run` comes here. What only a person can mend ends with exit status 2 and one line that
names the field or path and the fix.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from vigil.app import build
from vigil.clock import SystemClock
from vigil.config import Settings, load_settings
from vigil.errors import Misconfigured
from vigil.logs import configure_logging
from vigil.supervision.lease import acquire_lease
from vigil.version import VERSION

log = structlog.get_logger(__name__)

EXIT_MISCONFIGURED = 2

# systemd starts us again at once, which heals what is mended elsewhere. A wrong key must not become
# a storm of log-ins though, so under systemd the refusal takes its time.
RETRY_S = 20.0

# Most objects here live for one quote or one row and die by reference count. The collector's
# default of looking every 700 allocations would hold the loop for tens of milliseconds while a
# long ledger is read.
GC_THRESHOLDS = (50_000, 20, 20)


def main(config_file: Path | None) -> int:
    """Run Vigil until it is told to stop; the process's exit status."""
    gc.set_threshold(*GC_THRESHOLDS)
    environ = dict(os.environ)
    try:
        asyncio.run(_serve(load_settings(config_file, environ), environ))
    except Misconfigured as error:
        print(f"vigil: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up
        if environ.get("NOTIFY_SOCKET"):
            asyncio.run(SystemClock().sleep(RETRY_S))
        return EXIT_MISCONFIGURED
    return 0


async def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    redactor = configure_logging(
        level=settings.log_level, log_format=settings.log_format, stream=sys.stderr
    )
    _, secret = settings.require_key()
    redactor.register(secret.get_secret_value())
    if settings.api_token is not None:
        redactor.register(settings.api_token.get_secret_value())
    log.info(
        "vigil.starting",
        version=VERSION,
        environment=settings.environment,
        exchange=settings.deribit_ws_url,
        state_dir=str(settings.state_dir),
        pid=os.getpid(),
    )
    for warning in settings.warnings:
        log.warning("settings.odd", detail=warning)
    with acquire_lease(settings.state_dir, version=VERSION) as lease:
        life = await build(
            settings, environ=environ, lease=lease, clock=SystemClock(), version=VERSION
        )
        await life.run()
