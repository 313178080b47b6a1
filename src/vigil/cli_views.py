"""What people read on a terminal, made from the API's replies: data in, text out.

Times are UTC. Whatever a reply holds is shown without its control characters: a name from the
operator's file must not steer the terminal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vigil.domain.money import decimal_text

_RED, _GREEN, _YELLOW, _BOLD, _DIM = "31", "32", "33", "1", "2"
_COLOURS = {
    "healthy": _GREEN,
    "degraded": _YELLOW,
    "unhealthy": _RED,
    "clean": _GREEN,
    "remedied": _YELLOW,
    "skipped": _YELLOW,
    "failed": _RED,
    "error": _RED,
    "position_open": _GREEN,
    "stopped": _DIM,
    "paused": _YELLOW,
    "open": _GREEN,
    "estimate": _YELLOW,
}
_NOTHING = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """Puts colour on words, or leaves them alone."""

    is_coloured: bool

    def word(self, text: str) -> str:
        """A word in the colour it is known by, whatever blanks surround it."""
        return self.ink(text, _COLOURS.get(text.strip(), ""))

    def ink(self, text: str, colour: str) -> str:
        """Text in one colour."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_coloured and colour else text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column: its title, what it shows of a row, and whether figures line up on the right."""

    title: str
    show: Callable[[Mapping[str, Any]], str]
    is_number: bool = False


def status_view(health: Mapping[str, Any], paint: Paint) -> str:
    """The health of every part, one line each, then the reasons."""
    services = health["services"]
    where = f"Vigil {_clean(health['version'])} on {_clean(health['environment'])}"
    state = f"{paint.word(_clean(health['status']))}, up {_duration(health['uptime'])}"
    lines = [f"{where} is {state}"]
    parts = (
        ("websocket", _websocket(services["websocket"])),
        ("database", _database(services["database"])),
        ("strategies", "{active} active of {total}".format(**services["strategies"])),
        ("reconciliation", _reconciliation(services["reconciliation"])),
        ("state file", _state_file(health["stateFileProblem"])),
        ("memory", _memory(health["system"]["memory"]["rssBytes"])),
    )
    lines += [f"  {name:<15} {text}" for name, text in parts]
    lines += [f"  {paint.ink('!', _YELLOW)} {_clean(reason)}" for reason in health["reasons"]]
    return "\n".join(lines)


def strategies_view(strategies: Sequence[Mapping[str, Any]], paint: Paint) -> str:
    """One line for each strategy, then what went wrong with any."""
    if not strategies:
        return "No strategies. Add one to activeStrategies in the state file."
    errors = [
        f"{_clean(item['id'])}: {paint.ink('last error', _RED)}: {_clean(item['lastError'])}"
        f" (restarts {item['restarts']}, next {_time(item['nextRestartTime'])})"
        for item in strategies
        if item["lastError"]
    ]
    return "\n".join([_table(_STRATEGY_COLUMNS, strategies, paint), *errors])


def trades_view(trades: Sequence[Mapping[str, Any]], paint: Paint) -> str:
    """One line for each trade."""
    return _table(_TRADE_COLUMNS, trades, paint) if trades else "No trades."


def reconciliation_view(run: Mapping[str, Any], paint: Paint) -> str:
    """How one pass of the reconciler ended, and what it found and did."""
    outcome = f"{paint.word(_clean(run['outcome']))} in {run['durationMs']} ms"
    found = f"{run['openTrades']} open trades in the ledger"
    lines = [f"Reconciliation {run['id']}: {outcome}, {found}"]
    if run["reason"]:
        lines.append(f"  {_clean(run['reason'])}")
    lines += [f"  drift:  {_clean(drift)}" for drift in run["drifts"]]
    lines += [f"  remedy: {_clean(remedy)}" for remedy in run["remedies"]]
    return "\n".join(lines)


def error_view(status: int, content: Mapping[str, Any]) -> str:
    """An error reply as one sentence and its fix."""
    error = content.get("error")
    if not isinstance(error, dict) or "message" not in error:
        return f"it answered {status} without saying why"
    fix = f". Fix: {_clean(error['fix'])}" if error.get("fix") else ""
    return _clean(error["message"]) + fix


def _table(columns: Sequence[_Column], rows: Sequence[Mapping[str, Any]], paint: Paint) -> str:
    cells = [[column.show(row) for column in columns] for row in rows]
    widths = [
        max(len(column.title), *(len(row[index]) for row in cells))
        for index, column in enumerate(columns)
    ]

    def line(texts: Sequence[str], ink: Callable[[str], str]) -> str:
        padded = [
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(texts, widths, columns, strict=True)
        ]
        padded[-1] = padded[-1].rstrip()
        return "  ".join(map(ink, padded))

    head = line([column.title for column in columns], lambda text: paint.ink(text, _BOLD))
    return "\n".join([head, *(line(row, paint.word) for row in cells)])


def _position(trade: Mapping[str, Any] | None) -> str:
    return _NOTHING if trade is None else f"{_clean(trade['side'])} {_number(trade['openAmount'])}"


def _waits_for(strategy: Mapping[str, Any]) -> str:
    if strategy["refusal"] is not None and strategy["trade"] is None:
        return _clean(strategy["refusal"])
    if strategy["cooldownUntilTime"] is not None:
        return f"rest until {_time(strategy['cooldownUntilTime'])}"
    failed = [item for item in strategy["checkpoints"] if not item["passed"]]
    if not failed or strategy["trade"] is not None:
        return _NOTHING
    return ", ".join(
        _clean(f"{item['name']} {item['value']}, wanted {item['wanted']}") for item in failed[:2]
    )


def _websocket(websocket: Mapping[str, Any]) -> str:
    age_s = websocket["lastMessageAgeS"]
    heard = "" if age_s is None else f", last message {float(age_s):.1f} s ago"
    state = "connected" if websocket["connected"] else "not connected"
    return f"{state}, session {websocket['epoch']}{heard}"


def _database(database: Mapping[str, Any]) -> str:
    state = "ok" if database["ok"] else f"not usable: {_clean(database['problem'])}"
    return f"{state}, {_clean(database['path'])}, SQLite {_clean(database['sqliteVersion'])}"


def _reconciliation(reconciliation: Mapping[str, Any]) -> str:
    if reconciliation["lastRunTime"] is None:
        return "not yet run"
    reason = f": {_clean(reconciliation['reason'])}" if reconciliation["reason"] else ""
    return (
        f"{_or_nothing(reconciliation['outcome'])}{reason} at "
        f"{_time(reconciliation['lastRunTime'])}, next {_time(reconciliation['nextRunTime'])}"
    )


def _state_file(problem: Mapping[str, Any] | None) -> str:
    if problem is None:
        return "ok"
    place = "" if problem["line"] is None else f":{problem['line']}:{problem['column']}"
    field = f" {problem['field']}:" if problem["field"] else ""
    fix = f"; {problem['fix']}" if problem["fix"] else ""
    return _clean(
        f"refused, last good version in force: {problem['path']}{place}:{field} "
        f"{problem['reason']}{fix}"
    )


def _memory(rss_bytes: int | None) -> str:
    return "not known" if rss_bytes is None else f"{rss_bytes / 2**20:.1f} MiB"


def _number(value: Any) -> str:
    if value is None:
        return _NOTHING
    return str(value) if isinstance(value, int) else decimal_text(value)


def _time(time_ms: int | None) -> str:
    if time_ms is None:
        return _NOTHING
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: Any) -> str:
    total = timedelta(seconds=int(seconds))
    minutes, rest_s = divmod(total.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((total.days, "d"), (hours, "h"), (minutes, "min"), (rest_s, "s"))
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2]) or "0 s"


def _or_nothing(value: Any) -> str:
    return _NOTHING if value is None else _clean(value)


def _clean(value: Any) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value))


_STRATEGY_COLUMNS = (
    _Column(title="ID", show=lambda row: _clean(row["id"])),
    _Column(title="STRATEGY", show=lambda row: _clean(row["name"])),
    _Column(title="INSTRUMENT", show=lambda row: _clean(row["instrument"])),
    _Column(title="WANTED", show=lambda row: _clean(row["status"])),
    _Column(title="STATE", show=lambda row: _clean(row["analysisState"])),
    _Column(title="POSITION", show=lambda row: _position(row["trade"]), is_number=True),
    _Column(
        title="TODAY",
        show=lambda row: f"{row['dailyTrades']}/{_or_nothing(row['dailyTradesMax'])}",
        is_number=True,
    ),
    _Column(title="WAITS FOR", show=_waits_for),
)
_TRADE_COLUMNS = (
    _Column(title="ENTERED", show=lambda row: _time(row["entryTime"])),
    _Column(title="STRATEGY", show=lambda row: _clean(row["strategyId"] or row["strategyName"])),
    _Column(title="INSTRUMENT", show=lambda row: _clean(row["instrument"])),
    _Column(title="SIDE", show=lambda row: _clean(row["side"])),
    _Column(title="AMOUNT", show=lambda row: _number(row["amount"]), is_number=True),
    _Column(title="ENTRY", show=lambda row: _number(row["entryPrice"]), is_number=True),
    _Column(title="EXIT", show=lambda row: _number(row["exitPrice"]), is_number=True),
    _Column(title="PNL", show=lambda row: _number(row["pnl"]), is_number=True),
    _Column(title="IN", show=lambda row: _clean(row["pnlCurrency"])),
    _Column(title="FROM", show=lambda row: _or_nothing(row["pnlSource"])),
    _Column(title="STATUS", show=lambda row: _clean(row["status"])),
    _Column(title="REASON", show=lambda row: _or_nothing(row["exitReason"])),
)
