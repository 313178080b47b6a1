"""The key and every token stay out of logs, errors and representations."""

import asyncio
import logging
import random
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import structlog

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink
from vigil.deribit.login import Login, LoginGate
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import ApiKey, AuthMethod, Deadlines, Grant
from vigil.deribit.throttle import Throttle
from vigil.errors import Transient, VigilError

CANARY = "canary-5f2c"


@pytest.mark.parametrize("method", list(AuthMethod))
@pytest.mark.parametrize("ending", ["refused", "silent", "unusable", "lost"])
async def test_no_way_of_logging_in_shows_the_key(
    exchange: Any,
    secret: Any,
    refusal: Any,
    no_answer: Any,
    until: Any,
    caplog: pytest.LogCaptureFixture,
    ending: str,
    method: AuthMethod,
) -> None:
    grant = {
        "access_token": CANARY,
        "refresh_token": CANARY,
        "expires_in": 2,
        "scope": "connection account:read trade:read_write",
    }
    exchange.answers["public/auth"] = {
        "refused": refusal(13004, "invalid_credentials"),
        "silent": no_answer,
        "unusable": grant | {"expires_in": None},
        "lost": grant,
    }[ending]
    caplog.set_level(logging.DEBUG)
    clock = SystemClock()
    client = DeribitClient(clock)
    link = DeribitLink(
        client,
        url=exchange.url,
        key=ApiKey(client_id="the-id", secret=secret(CANARY), method=method),
        clock=clock,
        dice=random.Random(1),
        sink=lambda _: None,
        deadlines=Deadlines(call_s=0.2),
    )
    with structlog.testing.capture_logs() as lines:
        running = asyncio.ensure_future(link.run())
        if ending == "lost":
            await until(lambda: len(exchange.asked_for("public/auth")) == 2)
            exchange.sockets[0].transport.abort()
        with pytest.raises(VigilError) as raised:
            await running
    shown = "".join(traceback.format_exception(raised.value))
    assert CANARY not in shown
    assert CANARY not in repr(lines)
    # The scripted exchange's own library log is not ours.
    ours = [record for record in caplog.records if record.name != "websockets.server"]
    assert CANARY not in "".join(record.getMessage() for record in ours)
    assert CANARY not in repr(vars(link)) + repr(vars(client))
    held = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    mine = [frame for frame in held.format() if "src/vigil/" in frame.partition("\n")[0]]
    assert mine
    assert CANARY not in "".join(mine)


async def test_a_renewal_that_meets_the_end_of_its_session_does_not_show_its_token(
    secret: Any,
) -> None:
    clock = SystemClock()

    async def call(method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        assert method == "public/auth"
        assert params["refresh_token"] == CANARY
        raise Transient("the socket is gone")

    login = Login(
        ApiKey(client_id="the-id", secret=secret(CANARY)),
        LoginGate(),
        url="ws://exchange.invalid",
        call=call,
        is_connected=lambda: False,
        clock=clock,
        exchange_now_ms=clock.now_ms,
        dice=random.Random(1),
        on_trouble=lambda _: None,
    )
    with pytest.raises(Transient) as raised:
        await login.keep(Grant(expires_in_s=0.01, refresh_token=CANARY, scope=""))
    held = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    mine = [frame for frame in held.format() if "/vigil/" in frame.partition("\n")[0]]
    assert mine
    assert CANARY not in "".join(held.format())


async def test_the_second_witness_does_not_show_the_key(
    secret: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = SystemClock()
    witness = RestWitness(
        "http://127.0.0.1:1",
        "the-id",
        secret(CANARY),
        throttle=Throttle(clock),
        exchange_now_ms=clock.now_ms,
    )
    with pytest.raises(VigilError) as raised:
        await witness.positions()
    await witness.close()
    assert CANARY not in "".join(traceback.format_exception(raised.value))
    assert CANARY not in caplog.text
    assert CANARY not in repr(vars(witness))
