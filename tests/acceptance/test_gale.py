"""Whatever the exchange can do wrong on its way to us, many at a time, drawn from a seed; then calm.

`VIGIL_GALE_S` makes it longer, another `VIGIL_GALE_SEED` blows from elsewhere.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from calm import BTC, ETH, INVERSE, STRATEGIES, check_agreement, come_to_rest
from fault_control import FaultControl
from processes import PaperAccount

GALE_S = float(os.environ.get("VIGIL_GALE_S", "12"))
SEED = int(os.environ.get("VIGIL_GALE_SEED", "2002"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(GALE_S + 150)]

ORDERS = "private/buy,private/sell,private/edit*,private/cancel*"
METHODS = [ORDERS, "private/buy", "private/sell", "private/cancel*", "private/get_*", "public/*"]
STREAMS = ["user.orders.*", "user.trades.*", "user.*", "ticker.*"]
# Of a session or of the matching engine; some tell that all was done, some that nothing was.
CODES = [10028, 10040, 10041, 10047, 11051, 11044, 13009, 13028, 13666, 13888]
# Told until five minutes have shown that they are over.
STANDING = frozenset({"credits_exhausted", "private_stream_silent"})


@pytest.fixture
async def menu(paper: Any, account: PaperAccount) -> AsyncIterator[FaultControl]:
    async with FaultControl(f"http://127.0.0.1:{paper.port}/control") as control:
        yield control


def armed(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A fault of requests, replies or notifications."""
    method = {"method": dice.choice(METHODS), "count": dice.choice([1, 1, 2, 4])}
    stream = {"channel": dice.choice(STREAMS), "count": dice.choice([1, 1, 2, 4])}
    while_s = {"for_s": dice.uniform(0.5, 5)}
    late = {"delay_s": dice.uniform(0.2, 6)}
    change = {"change": dice.choice(["unknown-enum", "new-field", "missing-field", "null-field"])}
    error = {"code": dice.choice(CODES), "is_applied": dice.random() < 0.3}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("lose-request", method),
        ("delay-request", method | late),
        ("error-reply", method | error | {"method": ORDERS}),
        ("odd-error", {"method": ORDERS}),
        ("withhold-reply", method),
        ("delay-reply", method | late),
        ("duplicate-reply", method),
        ("garble-reply", {"method": dice.choice(METHODS)}),
        ("mutate-reply", method | change),
        ("empty-reply", while_s | {"count": 20}),
        ("cut-page", while_s | {"count": 20}),
        ("stale-reply", while_s),
        ("hide-records", while_s),
        ("drop-notification", stream),
        ("delay-notification", stream | late),
        ("duplicate-notification", stream),
        ("reorder-notifications", {"behind": "user.trades.*"}),
        ("mutate-notification", stream | change),
        ("mute-channel", while_s | {"channel": dice.choice(STREAMS)}),
        ("abort-connection", {"method": ORDERS, "moment": dice.choice(["before", "after"])}),
        ("refuse-connections", {"how": dice.choice(["503", "reset", "close"])}),
    ]
    return dice.choice(kinds)


def done(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Something that the exchange, the line or the market does."""
    lasts = {"lasts_s": dice.uniform(0.5, 4)}
    instrument = {"instrument_name": dice.choice([BTC, ETH, INVERSE])}
    index = {"price_index": dice.choice(["btc_usdc", "eth_usdc", "btc_usd"])}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("reset-connection", {}),
        ("close-connection", {}),
        ("logout-connection", {}),
        ("freeze-connection", lasts),
        ("lose-one-way", lasts | {"direction": dice.choice(["in", "out"])}),
        ("lag-connection", lasts | {"delay_s": dice.uniform(0.2, 3)}),
        ("drain-credits", {}),
        ("expire-tokens", {"refresh_too": dice.random() < 0.5}),
        ("lock-platform", lasts),
        ("lock-account", lasts),
        ("lock-positions", lasts),
        ("maintenance", lasts),
        ("refuse-public", lasts),
        ("slow-matching", lasts),
        ("settlement-break", lasts),
        ("settle", {}),
        ("suspend-instrument", lasts | instrument),
        ("disturb-book", lasts | instrument | {"how": dice.choice(["thin", "empty", "crossed"])}),
        ("move-price", index | {"percent": str(round(dice.uniform(-5, 5), 2))}),
        ("skew-clock", {"offset_ms": dice.choice([-1500, -300, 0, 300, 1500])}),
    ]
    return dice.choice(kinds)


@pytest.mark.parametrize("paper", [["--control"]], indirect=True)
async def test_after_all_that_an_exchange_can_do_wrong_ledger_and_exchange_agree(
    vigil: Any, account: PaperAccount, menu: FaultControl
) -> None:
    dice = random.Random(SEED)
    print(f"VIGIL_GALE_SEED={SEED}")
    vigil.write_state(*STRATEGIES)
    vigil.start()
    await vigil.ready()
    until = time.monotonic() + GALE_S
    while time.monotonic() < until:
        if dice.random() < 0.06:
            vigil.kill()
            vigil.start()
        elif dice.random() < 0.5:
            fault, fields = armed(dice)
            await menu.arm(fault, **fields)
        else:
            fault, fields = done(dice)
            await menu.do(fault, **fields)
        await asyncio.sleep(dice.uniform(0.1, 1.2))
        assert vigil.is_running, vigil.text()[-4000:]
    print({fault: hits for fault, hits in (await menu.hits()).items() if hits})
    await menu.disarm()
    await menu.do("skew-clock", offset_ms=0)
    await asyncio.sleep(4)  # the longest that a deed lasts
    await menu.do("close-connection")  # the clock is measured by every session, and rarely in one
    await come_to_rest(vigil, told=STANDING)
    await check_agreement(vigil, account)
