"""Many disturbances in a row, drawn from a seed; then quiet; then everything must agree.

`VIGIL_STORM_S` makes it longer, `VIGIL_STORM_SEED` repeats one.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from typing import Any

import pytest
from calm import BTC, ETH, INVERSE, STRATEGIES, check_agreement, come_to_rest
from processes import PaperAccount

STORM_S = float(os.environ.get("VIGIL_STORM_S", "25"))
SEED = int(os.environ.get("VIGIL_STORM_SEED", "0")) or random.randrange(1, 10**6)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(STORM_S + 150)]


class Storm:
    """What a bad day brings, one thing at a time."""

    def __init__(self, vigil: Any, paper: Any, account: PaperAccount, dice: random.Random) -> None:
        self.vigil, self.paper, self.account, self.dice = vigil, paper, account, dice
        self.thrown: Counter[str] = Counter()

    async def throw(self) -> None:
        name = self.dice.choice(
            [
                "kill_vigil",
                "kill_vigil",
                "restart_vigil",
                "kill_exchange",
                "freeze_exchange",
                "freeze_vigil",
                "close_by_hand",
                "close_by_hand",
                "cancel_protection",
                "trade_by_hand",
            ]
        )
        self.thrown[name] += 1
        await getattr(self, name)()

    async def kill_vigil(self) -> None:
        self.vigil.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        self.vigil.start()

    async def restart_vigil(self) -> None:
        self.vigil.signal(signal.SIGTERM)
        await asyncio.to_thread(self.vigil.wait, 30)
        self.vigil.start()

    async def kill_exchange(self) -> None:
        self.paper.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        self.paper.start()

    async def freeze_exchange(self) -> None:
        await self._freeze(self.paper)

    async def freeze_vigil(self) -> None:
        await self._freeze(self.vigil)

    async def _freeze(self, process: Any) -> None:
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, 2))
        process.signal(signal.SIGCONT)

    async def close_by_hand(self) -> None:
        instrument = self.dice.choice([BTC, ETH, INVERSE])
        await self._as_a_person("private/close_position", instrument_name=instrument, type="market")

    async def cancel_protection(self) -> None:
        await self._as_a_person("private/cancel_all")

    async def trade_by_hand(self) -> None:
        instrument, amount = self.dice.choice([(BTC, "0.001"), (ETH, "0.01"), (INVERSE, "20")])
        direction = self.dice.choice(["buy", "sell"])
        await self._as_a_person(
            f"private/{direction}", instrument_name=instrument, amount=amount, type="market"
        )

    async def _as_a_person(self, method: str, **params: Any) -> None:
        try:
            await self.account.call(method, **params)
        except (AssertionError, OSError, ValueError) as refusal:
            self.thrown[f"refused: {method}"] += 1
            del refusal
        except Exception as error:
            if "httpx" not in type(error).__module__:
                raise


async def test_after_a_storm_ledger_and_exchange_agree(
    vigil: Any, paper: Any, account: PaperAccount
) -> None:
    dice = random.Random(SEED)
    print(f"VIGIL_STORM_SEED={SEED}")
    vigil.write_state(*STRATEGIES)
    vigil.start()
    await vigil.ready()
    storm = Storm(vigil, paper, account, dice)
    until = time.monotonic() + STORM_S
    while time.monotonic() < until:
        await storm.throw()
        await asyncio.sleep(dice.uniform(0.2, 2.5))
    print(dict(storm.thrown))
    await come_to_rest(vigil)
    await check_agreement(vigil, account)
