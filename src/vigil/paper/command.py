"""`vigil paper`: the paper exchange as a process."""

import argparse
import asyncio
import errno
import signal
import sqlite3
import sys
from pathlib import Path

import structlog

from vigil.clock import SystemClock
from vigil.errors import Misconfigured
from vigil.paper.faults import menu
from vigil.paper.faults.interference import Faults
from vigil.paper.market.feeds import build_walks
from vigil.paper.market.instruments import PERPETUALS
from vigil.paper.market.listing_file import load_listings
from vigil.paper.market.recording import load_recording
from vigil.paper.market.regimes import Regime
from vigil.paper.persistence import StateFile
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import TIERS, Limits
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.switches import read_switches
from vigil.paper.venue import Venue

DEFAULT_PORT = 8090
EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2

log = structlog.get_logger()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="port to listen on (%(default)s); 0 takes a free one",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the price walk (%(default)s)")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        help="market seconds that the price walk covers per wall second (%(default)g)",
    )
    parser.add_argument(
        "--regime",
        type=Regime,
        choices=list(Regime),
        default=None,
        help="temper of the market; without one it is the ordinary walk",
    )
    parser.add_argument(
        "--feed",
        "--recording",
        dest="recording",
        type=Path,
        default=None,
        help="file of recorded prices (timestamp, price, index_name), as JSON lines or CSV",
    )
    parser.add_argument(
        "--instruments",
        type=Path,
        default=None,
        help="JSON file of get_instrument objects to list as well",
    )
    parser.add_argument(
        "--tier",
        type=int,
        choices=sorted(TIERS),
        default=max(TIERS),
        help="rate limits of a seven-day volume above 25 (1), 5 (2), 1 (3) or 0 (4, unless said "
        "otherwise) million USD",
    )
    parser.add_argument(
        "--switch",
        dest="switches",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="another reading where Deribit's documentation is not clear; may be repeated "
        "(docs/paper-exchange.md lists them)",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        help="serve the fault menu below at /control, to this machine alone",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = menu.described()
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
    except sqlite3.Error as error:
        text = (
            f"vigil paper: cannot store the books in {args.state}: {error}; nothing since was "
            "acknowledged; make room on the disk, or mend it, and start again"
        )
        print(text, file=sys.stderr)  # noqa: T201 - as above
        return EXIT_FAILED
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
            faults=Faults(seed=args.seed, has_checker=args.control),
            has_control=args.control,
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
    added = load_listings(args.instruments) if args.instruments is not None else ()
    listings = tuple({item.name: item for item in (*PERPETUALS, *added)}.values())
    recorded = load_recording(args.recording) if args.recording is not None else {}
    try:
        switches = read_switches(args.switches)
    except ValueError as error:
        raise Misconfigured(f"--switch {error}") from error
    saved = state_file.load() if state_file is not None else None
    followed = (*listings, *(saved.listings if saved is not None else ()))
    walks = build_walks(followed, seed=args.seed, regime=args.regime, recorded=recorded)
    try:
        return Venue(
            now_ms=now_ms,
            seed=args.seed,
            walks=walks,
            limits=Limits.of_tier(args.tier),
            switches=switches,
            saved=saved,
            listings=listings,
        )
    except ValueError as error:
        raise Misconfigured(
            f"paper state file {args.state} does not belong to --seed {args.seed} or to its feed: "
            f"{error}; use the seed, regime and recording that it was made with, or another file"
        ) from error


def _announce(server: PaperServer, args: argparse.Namespace) -> None:
    """Tell a person, or a script that reads stdout, how to get in."""
    listings = [i for i in server.venue.exchange.catalogue.listings if i.is_perpetual]
    lines = (
        f"websocket     {server.websocket_url}",
        f"http          {server.http_url}",
        *((f"control       {server.control_url}",) if args.control else ()),
        f"client_id     {CLIENT_ID}",
        f"client_secret {CLIENT_SECRET}",
        f"seed          {args.seed}",
        f"speed         {args.speed:g}",
        f"instruments   {' '.join(listing.name for listing in listings)}",
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
