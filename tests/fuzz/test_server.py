"""Anything sent to the port is answered in order or hung up on; the server goes on."""

import asyncio
import random

import any_server
from rounds import inputs, rounds

_ACTS = 160
_AT_ONCE = 16


def test_any_bytes_at_the_port_are_answered_without_a_failure() -> None:
    for dice in rounds("server"):
        asyncio.run(_while_open(dice, ("ask", "ask", "talk")))
        inputs["server requests"] += _ACTS


def test_any_faults_armed_and_done_leave_a_server_that_goes_on() -> None:
    for dice in rounds("control"):
        asyncio.run(_while_open(dice, ("command", "command", "talk", "ask")))
        inputs["control requests"] += _ACTS


async def _while_open(dice: random.Random, acts: tuple[str, ...]) -> None:
    async with any_server.opened(dice) as someone:
        for _ in range(0, _ACTS, _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.create_task(getattr(someone, dice.choice(acts))())
        await someone.is_alive()
