"""The command line: parses, then imports only what the command asked for needs.

`run` and `paper` are long-lived processes of their own. All other commands talk to a running
Vigil through its HTTP API and end with 0 (done), 1 (it said no, or it is unhealthy), 2 (wrong
usage) or 3 (it cannot be reached).
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from vigil.version import VERSION

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(given).parse_args(given)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


class _ShowVersion(argparse.Action):
    """Prints the version and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del namespace, values, option_string
        print(f"vigil {VERSION}")
        parser.exit()


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vigil", description="Keeps derivatives strategies trading on Deribit, unattended."
    )
    parser.add_argument("--version", nargs=0, action=_ShowVersion, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run Vigil in the foreground")
    run.add_argument("--config", type=Path, metavar="FILE", help="settings, as TOML")
    run.set_defaults(run=_run)

    paper = commands.add_parser("paper", help="run a paper exchange that speaks Deribit's protocol")
    if given[:1] == ["paper"]:
        command = import_module("vigil.paper.command")
        command.add_arguments(paper)
        paper.set_defaults(run=command.main)

    api = _api_options()
    status = commands.add_parser("status", parents=[api], help="show the health of every part")
    status.set_defaults(run=_ask, command="status")

    strategies = commands.add_parser("strategies", parents=[api], help="show every strategy")
    strategies.set_defaults(run=_ask, command="strategies")

    trades = commands.add_parser("trades", parents=[api], help="show trades, newest first")
    trades.add_argument("--limit", metavar="N", default="20", help="at most N (20)")
    trades.add_argument("--status", choices=("open", "closed"), help="only these")
    trades.add_argument("--strategy", metavar="ID", help="only this strategy, by id or name")
    trades.add_argument("--instrument", metavar="NAME", help="only this instrument")
    trades.set_defaults(run=_ask, command="trades")

    command_options = argparse.ArgumentParser(add_help=False, parents=[api])
    command_options.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="API token ($VIGIL_API_TOKEN, else api-token in $VIGIL_STATE_DIR)",
    )
    reconcile = commands.add_parser(
        "reconcile", parents=[command_options], help="compare ledger and exchange now"
    )
    reconcile.set_defaults(run=_ask, command="reconcile")
    for verb, what in (("start", "activate"), ("stop", "stop")):
        change = commands.add_parser(
            verb, parents=[command_options], help=f"{what} a strategy, and save that"
        )
        change.add_argument("id", metavar="ID", help="the strategy's id")
        change.set_defaults(run=_ask, command=verb)
    return parser


def _api_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--url",
        default=f"http://127.0.0.1:{os.environ.get('VIGIL_HTTP_PORT') or 3000}",
        help="where Vigil listens (%(default)s)",
    )
    options.add_argument("--json", action="store_true", help="print the reply as it came")
    return options


def _run(options: argparse.Namespace) -> int:
    # pydantic would read the metadata of every installed package in search of plugins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Nothing that an import makes is garbage, and looking through it takes a tenth of the start.
    gc.disable()
    try:
        from vigil.daemon import main as run_daemon  # noqa: PLC0415
    finally:
        gc.freeze()  # else the first look afterwards would be through all of it
        gc.enable()

    return run_daemon(options.config)


def _ask(options: argparse.Namespace) -> int:
    from vigil.cli_commands import run_command  # noqa: PLC0415

    return run_command(options.command, options)
