"""Logs: structlog set up once, secrets taken out last.

Every event passes one chain: level and time are added, exceptions become text, values under
secret-like keys are blanked, the line is rendered, and every registered secret in it is replaced,
wherever it came from. Records of the standard library's loggers (asyncio, websockets) join the same
chain. A stream that fails loses lines, which are counted; it stops nothing.
"""

import base64
import json
import logging
import re
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO
from urllib.parse import quote

import structlog

from vigil.clock import Clock, SystemClock
from vigil.config import LogFormat, LogLevel

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"secret|passw|token|authori[sz]ation|signature|credential|(api|private)_?-?key", re.IGNORECASE
)
_SECRET_LENGTH_MIN = 4  # shorter ones would blank half of every line
_DEPTH_MAX = 8
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31;1", "critical": "31;1"}
_BARE_VALUE = re.compile(r"[^\s\"'=\\]+")

EventDict = MutableMapping[str, Any]


class Redactor:
    """Knows the secrets of this process and takes them out of text."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, *secrets: str) -> None:
        """Have these replaced from now on, also as JSON, URL, repr and Base64 write them.

        Those under 4 characters are left alone, as they would blank half of every line.
        """
        for secret in secrets:
            if len(secret) >= _SECRET_LENGTH_MIN:
                self._forms |= _forms_of(secret)
        if self._forms:
            longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        """The text without any registered secret."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)

    def __call__(self, _logger: Any, _method: str, event_dict: EventDict) -> EventDict:
        """As a structlog processor: make all values plain, with no secret left in them.

        What stands under a secret-like key is blanked, however deep. Text is redacted here, before
        rendering quotes it, since no list of forms covers text that was quoted twice.
        """
        for key, value in event_dict.items():
            event_dict[key] = self._plain(key, value, depth=0)
        return event_dict

    def _plain(self, key: str, value: Any, *, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value  # numbers and truth values are no secrets
        if _SECRET_KEY.search(key):
            return REDACTED
        if depth > _DEPTH_MAX:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.redact(str(k)): self._plain(str(k), v, depth=depth + 1)
                for k, v in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._plain("", item, depth=depth + 1) for item in value]
        return self.redact(_as_plain(value))


def configure_logging(
    *, level: LogLevel, log_format: LogFormat, stream: TextIO, clock: Clock | None = None
) -> Redactor:
    """Set up logging for the whole process.

    Args:
        level: What is below it is not logged. Other libraries speak from `warning` on, whatever it
            is: their debug lines quote frames, and frames hold keys.
        log_format: `json`; `console`, coloured; `auto`, coloured on a terminal, else plain
            `time level event key=value` lines.
        stream: Where lines go.
        clock: Gives the time of each line, UTC.

    Returns: The redactor, for secrets that are learnt later.
    """
    redactor = Redactor()
    wall = clock or SystemClock()

    def add_time(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
        at = datetime.fromtimestamp(wall.now_ms() / 1000, UTC)
        event_dict["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return event_dict

    is_coloured = log_format == "console" or (log_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            add_time,
            structlog.processors.format_exc_info,
            redactor,
            render_json if log_format == "json" else LineRenderer(is_coloured=is_coloured),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: LineWriter(stream, redactor),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StandardLibraryBridge):
            root.removeHandler(handler)
    root.addHandler(_StandardLibraryBridge())
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    return redactor


class LineRenderer:
    """`time level event key=value …`, one line, then the traceback, indented.

    What is not printable is escaped, so that no value can start a line of its own.
    """

    def __init__(self, *, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def __call__(self, _logger: Any, _method: str, event_dict: EventDict) -> str:
        """As a structlog processor: the finished line."""
        timestamp = event_dict.pop("timestamp")
        level = event_dict.pop("level")
        event = _printable(str(event_dict.pop("event", "")))
        trace = event_dict.pop("exception", None)
        parts = [
            self._paint("2", timestamp),
            self._paint(_COLOURS.get(level, "0"), f"{level:<7}"),
            self._paint("1", event),
            *(f"{self._paint('36', key)}={_as_value(value)}" for key, value in event_dict.items()),
        ]
        line = " ".join(parts)
        if trace is None:
            return line
        return "\n".join([line, *(f"    {_printable(row)}" for row in str(trace).splitlines())])

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_coloured else text


def render_json(_logger: Any, _method: str, event_dict: EventDict) -> str:
    """One JSON object per line, time, level and event first; Decimals as text."""
    first = {key: event_dict.pop(key) for key in ("timestamp", "level", "event")}
    return json.dumps(first | dict(event_dict))


class LineWriter:
    """The end of the chain: redacts and writes. Never raises over a broken stream.

    Args:
        stream: Where lines go; flushed after each, so that a crash loses none.
    """

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self.lines_lost = 0

    def msg(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(self._redactor.redact(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # full, broken, or closed
            self.lines_lost += 1

    debug = info = warning = error = critical = exception = fatal = log = msg


class _StandardLibraryBridge(logging.Handler):
    """Hands records of the standard library's loggers to the one chain."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # wrong arguments for its own format
            text = str(record.msg)
        structlog.get_logger().log(
            record.levelno, text, logger=record.name, exc_info=record.exc_info or None
        )


def _forms_of(secret: str) -> set[str]:
    return {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        base64.b64encode(secret.encode()).decode(),
    }


def _as_plain(value: Any) -> str:
    try:
        return str(value.value) if isinstance(value, Enum) else str(value)
    except Exception:  # noqa: BLE001 - whatever a value's own code raises must not reach the caller
        return f"<unprintable {type(value).__name__}>"


def _as_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return _printable(json.dumps(value, ensure_ascii=False))
    text = str(value)
    if text.isprintable() and _BARE_VALUE.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
