"""Lines that people grep, and no secret in any of them."""

import io
import json
import logging
import sys
from decimal import Decimal
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from vigil.logs import (
    REDACTED,
    LineRenderer,
    Redactor,
    _StandardLibraryBridge,
    configure_logging,
    render_json,
)

TIME = "2026-09-21T14:13:20.123Z"
CANARY = "c4nary\"'\\/+ secret"


class StillClock:
    def now_ms(self) -> int:
        return 1_790_000_000_123

    def elapsed_s(self) -> float:
        return 0.0

    async def sleep(self, delay_s: float) -> None: ...


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def logging_to():
    root = logging.getLogger()
    before = (root.level, root.handlers[:])

    def configure(stream, *, level="debug", log_format="auto"):
        redactor = configure_logging(
            level=level, log_format=log_format, stream=stream, clock=StillClock()
        )
        return structlog.get_logger(), redactor

    yield configure
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_plain_lines_read_well_and_put_the_event_before_its_keys(logging_to):
    stream = io.StringIO()
    log, _ = logging_to(stream)
    log.info("[Reconciliation] Closed orphan trade", trade_id="t1", pnl=Decimal("-1.50"), note=None)
    log.warning(
        "order.refused", reason='too "big"', label="", is_live=False, legs=["a", Decimal(1)]
    )
    assert stream.getvalue().splitlines() == [
        f"{TIME} info    [Reconciliation] Closed orphan trade trade_id=t1 pnl=-1.50 note=none",
        f'{TIME} warning order.refused reason="too \\"big\\"" label="" is_live=false legs=["a", "1"]',
    ]


def test_a_terminal_gets_colour_and_a_pipe_does_not(logging_to):
    for stream, is_coloured in ((Terminal(), True), (io.StringIO(), False)):
        log, _ = logging_to(stream)
        log.info("x")
        assert ("\x1b[" in stream.getvalue()) is is_coloured


def test_json_lines_are_json(logging_to):
    stream = io.StringIO()
    log, _ = logging_to(stream, log_format="json")
    log.info("order.sent", amount_usd=Decimal("10.10"), who={1: {"client_secret": "x"}})
    assert json.loads(stream.getvalue()) == {
        "timestamp": "2026-09-21T14:13:20.123Z",
        "level": "info",
        "event": "order.sent",
        "amount_usd": "10.10",
        "who": {"1": {"client_secret": REDACTED}},
    }


def test_levels_below_the_one_set_are_not_logged(logging_to):
    stream = io.StringIO()
    log, _ = logging_to(stream, level="warning")
    log.info("quiet")
    log.error("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["auto", "console", "json"])
def test_a_registered_secret_is_in_no_line_whichever_way_it_got_there(logging_to, log_format):
    stream = io.StringIO()
    log, redactor = logging_to(stream, log_format=log_format)
    redactor.register(CANARY)
    log.info(f"event with {CANARY}", plain=CANARY, deep=[{"a": (CANARY,)}], client_secret=CANARY)
    log.info("as others write it", r=repr(CANARY), j=json.dumps({"x": CANARY}), q=quote(CANARY))
    log.info("bytes", raw=CANARY.encode())
    try:
        raise ValueError({"password": CANARY}) from KeyError(CANARY)
    except ValueError as error:
        log.exception("failed", error=error)
        logging.getLogger("websockets").warning("frame %s", CANARY, exc_info=sys.exc_info())
    for form in (CANARY, repr(CANARY)[1:-1], json.dumps(CANARY)[1:-1], quote(CANARY, safe="")):
        assert form not in stream.getvalue()
    assert "c4nary" not in stream.getvalue()
    assert "Traceback" in stream.getvalue()


@pytest.mark.parametrize(
    "key",
    [
        "client_secret",
        "accessToken",
        "refresh_token",
        "password",
        "Authorization",
        "apiKey",
        "signature",
    ],
)
def test_text_under_a_secret_like_key_is_blanked_although_nobody_registered_it(logging_to, key):
    stream = io.StringIO()
    log, _ = logging_to(stream)
    log.info("x", **{key: "hidden", f"{key}_age_s": 3})
    assert "hidden" not in stream.getvalue()
    assert f"{key}_age_s=3" in stream.getvalue()


def test_no_value_can_forge_a_line_or_drive_the_terminal(logging_to):
    stream = io.StringIO()
    log, _ = logging_to(stream)
    forged = "x\n2026-01-01 error forged \x1b[2J\u202e\u2028 end"
    log.info(forged, value=forged)
    try:
        raise ValueError(forged)
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().split("\n")
    assert all(line.startswith((f"{TIME} ", "    ")) for line in lines if line)
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_records_of_other_libraries_join_from_warning_on(logging_to):
    stream = io.StringIO()
    logging_to(stream)
    logging.getLogger("aiohttp").info("noise")
    logging.getLogger("aiohttp").warning("half a %s", "request")
    wrong = logging.LogRecord("asyncio", logging.ERROR, "", 0, "wrong arguments %d", ("x",), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _StandardLibraryBridge):  # pytest's own would not bear it
            handler.handle(wrong)
    assert "noise" not in stream.getvalue()
    assert "half a request logger=aiohttp" in stream.getvalue()
    assert "wrong arguments %d logger=asyncio" in stream.getvalue()


def test_configuring_twice_does_not_double_lines(logging_to):
    stream = io.StringIO()
    logging_to(stream)
    logging_to(stream)
    logging.getLogger("x").warning("once")
    assert stream.getvalue().count("once") == 1


def test_a_broken_stream_stops_nothing(logging_to):
    stream = io.StringIO()
    log, _ = logging_to(stream)
    stream.close()
    log.error("lost")


def test_a_value_that_cannot_be_printed_stops_nothing(logging_to):
    class Evil:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    for log_format in ("auto", "json"):
        stream = io.StringIO()
        log, _ = logging_to(stream, log_format=log_format)
        log.info("x", evil=Evil(), loop=(loop := {}))
        loop["loop"] = loop
        log.info("y", loop=loop)
        assert "unprintable Evil" in stream.getvalue()


def test_secrets_too_short_to_tell_from_words_are_left_alone():
    redactor = Redactor()
    redactor.register("", "abc")
    assert redactor.redact("abc abcd") == "abc abcd"


@given(
    secret=st.text(min_size=6).filter(lambda s: s not in REDACTED),
    before=st.text(),
    after=st.text(),
)
def test_redacting_leaves_no_registered_secret(secret, before, after):
    redactor = Redactor()
    redactor.register(secret)
    left = redactor.redact(before + secret + after).split(REDACTED)
    assert not any(secret in part for part in left)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(event=st.text(), values=st.dictionaries(st.text(min_size=1), JSON_VALUES))
def test_whatever_is_logged_is_one_line(event, values):
    base = {"timestamp": "t", "level": "info", "event": event}
    entry = Redactor()(
        None,
        "info",
        {f"k_{key.encode().hex() if key.isascii() else 'x'}": v for key, v in values.items()},
    )
    assert len(LineRenderer(is_coloured=False)(None, "info", base | entry).splitlines()) == 1
    assert len(render_json(None, "info", base | entry).splitlines()) == 1
