"""The commands that talk to a running Vigil: ask, show, and say by exit status how it went."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vigil.cli_client import ApiClient, Reply, Unreachable, UsageError
from vigil.cli_views import (
    Paint,
    error_view,
    reconciliation_view,
    status_view,
    strategies_view,
    trades_view,
)

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

# A handler has 30 s on the server's side; we wait a little longer to hear its verdict.
_TIMEOUT_S = 35.0


def run_command(command: str, options: argparse.Namespace) -> int:
    """Run one of the commands that `vigil.cli` declares; its exit status."""
    try:
        status = _COMMANDS[command](options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(str(error), EXIT_USAGE)
    except Unreachable as error:
        return _complain(str(error), EXIT_UNREACHABLE)
    except BrokenPipeError:
        # The reader has seen enough (`| head`); the interpreter must not flush into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _status(options: argparse.Namespace) -> int:
    reply = _client(options).get("/health")
    # An unhealthy Vigil answers 503 with a health report, which is what was asked for.
    if reply.status == 503 and "services" in reply.content:
        _show(options, reply, status_view)
        return EXIT_REFUSED
    return _conclude(options, reply, status_view)


def _strategies(options: argparse.Namespace) -> int:
    reply = _client(options).get("/api/strategy/status")
    return _conclude(
        options, reply, lambda content, paint: strategies_view(content["strategies"], paint)
    )


def _trades(options: argparse.Namespace) -> int:
    filters = ("limit", "status", "strategy", "instrument")
    query = {name: value for name in filters if (value := getattr(options, name)) is not None}
    reply = _client(options).get("/api/trades/history", query)
    return _conclude(options, reply, lambda content, paint: trades_view(content["trades"], paint))


def _reconcile(options: argparse.Namespace) -> int:
    reply = _client(options).post("/api/reconcile", {}, _token(options))
    return _conclude(
        options, reply, lambda content, paint: reconciliation_view(content["reconciliation"], paint)
    )


def _change_strategy(options: argparse.Namespace) -> int:
    client = _client(options)
    reply = client.post(f"/api/strategy/{options.command}", {"id": options.id}, _token(options))
    return _conclude(
        options, reply, lambda content, paint: strategies_view([content["strategy"]], paint)
    )


def _client(options: argparse.Namespace) -> ApiClient:
    return ApiClient(options.url, timeout_s=_TIMEOUT_S)


def _token(options: argparse.Namespace) -> str:
    """The bearer token: the file named, else the environment's, else the state directory's."""
    if options.token_file is None and (token := os.environ.get("VIGIL_API_TOKEN")):
        return token
    state_dir = Path(os.environ.get("VIGIL_STATE_DIR") or "state")
    path: Path = options.token_file or state_dir / "api-token"
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"cannot read the API token {path}: {reason}. Vigil makes it at its first start; "
            "give --token-file or VIGIL_STATE_DIR, and run this as the user that runs Vigil"
        ) from error


def _conclude(
    options: argparse.Namespace, reply: Reply, view: Callable[[dict[str, Any], Paint], str]
) -> int:
    """Show a reply that succeeded, complain about one that did not."""
    if reply.is_success:
        _show(options, reply, view)
        return 0
    if options.json:
        print(reply.text)
    return _complain(error_view(reply.status, reply.content), EXIT_REFUSED)


def _show(
    options: argparse.Namespace, reply: Reply, view: Callable[[dict[str, Any], Paint], str]
) -> None:
    if options.json:
        print(reply.text)
        return
    paint = Paint(is_coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    try:
        text = view(reply.content, paint)
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreachable(
            f"{options.url} answers, but not as this version of Vigil does; check --url"
        ) from error
    print(text)


def _complain(message: str, status: int) -> int:
    print(f"vigil: {message}", file=sys.stderr)
    return status


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "strategies": _strategies,
    "trades": _trades,
    "reconcile": _reconcile,
    "start": _change_strategy,
    "stop": _change_strategy,
}
