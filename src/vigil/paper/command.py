"""`vigil paper`: the paper exchange as a process."""

import argparse
import asyncio
import errno
import signal
import sys
from decimal import Decimal
from pathlib import Path

import structlog

from vigil.clock import SystemClock
from vigil.errors import Misconfigured
from vigil.paper.exchange import Walk
from vigil.paper.market.feed import PriceWalk
from vigil.paper.market.instruments import LISTINGS
from vigil.paper.persistence import StateFile
from vigil.paper.server import PaperServer
from vigil.paper.session.sessions import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue

DEFAULT_PORT = 8090
EXIT_MISCONFIGURED = 2

log = structlog.get_logger()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port to listen on; 0 takes a free one"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the price walk")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        help="market seconds that the price walk covers per wall second",
    )
    parser.add_argument(
        "--state", type=Path, default=None, help="file to keep the books in; in memory without"
    )


def main(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Returns: the exit status."""
    try:
        asyncio.run(_run(args))
    except Misconfigured as error:
        print(f"vigil paper: {error}", file=sys.stderr)  # noqa: T201 - a command's own output
        return EXIT_MISCONFIGURED
    return 0


async def _run(args: argparse.Namespace) -> None:
    clock = SystemClock()
    state_file = StateFile(args.state) if args.state is not None else None
    try:
        venue = _build_venue(args, state_file, now_ms=clock.now_ms())
        server = PaperServer(
            venue,
            clock,
            host=args.host,
            port=args.port,
            speed=args.speed,
            persistence=state_file,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.request_stop)
        await _serve(server, args)
    finally:
        if state_file is not None:
            state_file.close()


async def _serve(server: PaperServer, args: argparse.Namespace) -> None:
    try:
        await server.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Misconfigured(
                f"port {args.port} on {args.host} is in use; "
                "stop the process that has it, or choose another with --port"
            ) from error
        raise Misconfigured(
            f"cannot listen on {args.host} port {args.port}: {error.strerror}; "
            "choose others with --host and --port"
        ) from error
    _announce(server, args)
    await server.wait()
    log.info("paper.stopped", port=server.port)


def _build_venue(args: argparse.Namespace, state_file: StateFile | None, *, now_ms: int) -> Venue:
    bitcoin = PriceWalk(seed=args.seed, index_name="btc", start_price=Decimal(95_000))
    ether = PriceWalk(seed=args.seed, index_name="eth", start_price=Decimal(3_300))
    walks: dict[str, Walk] = {"btc_usd": bitcoin, "btc_usdc": bitcoin, "eth_usdc": ether}
    saved = state_file.load() if state_file is not None else None
    try:
        return Venue(now_ms=now_ms, seed=args.seed, walks=walks, saved=saved)
    except ValueError as error:
        raise Misconfigured(
            f"paper state file {args.state} does not belong to --seed {args.seed}: {error}; "
            "use the seed that it was made with, or another file"
        ) from error


def _announce(server: PaperServer, args: argparse.Namespace) -> None:
    """Tell a person, or a script that reads stdout, how to get in."""
    lines = (
        f"websocket     {server.websocket_url}",
        f"http          {server.http_url}",
        f"client_id     {CLIENT_ID}",
        f"client_secret {CLIENT_SECRET}",
        f"seed          {args.seed}",
        f"speed         {args.speed:g}",
        f"instruments   {' '.join(listing.name for listing in LISTINGS)}",
    )
    print("\n".join(lines), flush=True)  # noqa: T201 - a command's own output


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"port {port} is not between 0 and 65535")
    return port


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed <= 100_000:
        raise argparse.ArgumentTypeError(f"speed {text} is not above 0 and at most 100000")
    return speed
