"""Stands in for Vigil where only the unit is tested: settings, watchdog and checkpoint are real."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from vigil.clock import SystemClock
from vigil.config import load_settings
from vigil.fleet.checkpoint import Checkpoint
from vigil.supervision.lease import acquire_lease
from vigil.supervision.watchdog import Watchdog


async def main() -> None:
    config_file = Path(sys.argv[sys.argv.index("--config") + 1])
    settings = load_settings(config_file, os.environ)
    client_id, client_secret = settings.require_key()
    watchdog = Watchdog(clock=SystemClock(), environ=os.environ)
    hung = settings.state_dir / "hung"

    with acquire_lease(settings.state_dir, version="stub") as lease:
        watchdog.ready()
        watchdog.status(
            f"{client_id} with a secret of {len(client_secret.get_secret_value())} characters,"
            f" epoch {lease.epoch}, watched for {watchdog.timeout_s} s"
        )
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with asyncio.TaskGroup() as group:
            pings = group.create_task(
                watchdog.run(lambda: "hung for the test" if hung.exists() else None)
            )
            await stop.wait()
            watchdog.stopping()
            pings.cancel()
        Checkpoint(settings.state_dir / "checkpoint.json", clock=SystemClock()).save({"n": 1})


asyncio.run(main())
