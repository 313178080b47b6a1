import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import structlog

from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.session import Trouble, TroubleKind
from vigil.deribit.timekeeping import Timekeeper
from vigil.errors import OutcomeUnknown


class Exchange:
    """Tells the time as scripted: how far ahead of us, and after how long."""

    def __init__(self, clock: Any, script: Iterable[tuple[int, float]]) -> None:
        self._clock = clock
        self._script = list(script)
        self.asked = 0

    async def ask(self) -> int:
        self.asked += 1
        ahead_ms, takes_s = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        told_ms = round((self._clock.loop_s + takes_s / 2) * 1000) + ahead_ms
        self._clock.loop_s += takes_s
        return told_ms


@pytest.fixture
def troubles() -> list[Trouble]:
    return []


@pytest.fixture
def timekeeper(stepped_clock: Any, troubles: list[Trouble]) -> Timekeeper:
    return Timekeeper(stepped_clock, on_trouble=troubles.append)


async def measure(
    timekeeper: Timekeeper, exchange: Exchange, clock: Any, believed: ClockReading | None = None
) -> ClockReading:
    measuring = asyncio.ensure_future(timekeeper.measure(exchange.ask, believed))
    while not measuring.done():
        await clock.advance(0.25)
    return measuring.result()


def ahead_ms(reading: ClockReading, clock: Any) -> int:
    return reading.now_ms(clock.loop_s) - round(clock.loop_s * 1000)


async def test_half_the_round_trip_is_taken_off(timekeeper: Any, stepped_clock: Any) -> None:
    exchange = Exchange(stepped_clock, [(120, 0.4)])
    reading = await measure(timekeeper, exchange, stepped_clock)
    assert (exchange.asked, ahead_ms(reading, stepped_clock)) == (1, 120)
    assert reading.round_trip_s == pytest.approx(0.4)


async def test_a_slow_answer_is_asked_for_once_more_and_the_quicker_one_counts(
    timekeeper: Any, stepped_clock: Any
) -> None:
    exchange = Exchange(stepped_clock, [(0, 3.0), (7, 0.1), (0, 0.1)])
    reading = await measure(timekeeper, exchange, stepped_clock)
    assert (exchange.asked, ahead_ms(reading, stepped_clock)) == (2, 7)


async def test_on_a_slow_road_two_answers_are_enough(timekeeper: Any, stepped_clock: Any) -> None:
    exchange = Exchange(stepped_clock, [(0, 2.0), (0, 3.0), (0, 3.0)])
    reading = await measure(timekeeper, exchange, stepped_clock)
    assert exchange.asked == 2
    assert reading.round_trip_s == pytest.approx(2.0)


async def test_one_answer_out_of_the_blue_is_not_used(timekeeper: Any, stepped_clock: Any) -> None:
    believed = await measure(timekeeper, Exchange(stepped_clock, [(0, 0.1)]), stepped_clock)
    stepped_clock.loop_s += 300
    exchange = Exchange(stepped_clock, [(3_600_000, 0.1), (30, 0.1)])
    reading = await measure(timekeeper, exchange, stepped_clock, believed)
    assert (exchange.asked, ahead_ms(reading, stepped_clock)) == (2, 30)


async def test_a_jump_that_stays_is_used(timekeeper: Any, stepped_clock: Any) -> None:
    """As after a suspended machine, whose loop time stood still."""
    believed = await measure(timekeeper, Exchange(stepped_clock, [(0, 0.1)]), stepped_clock)
    exchange = Exchange(stepped_clock, [(60_000, 0.1)])
    with structlog.testing.capture_logs() as lines:
        reading = await measure(timekeeper, exchange, stepped_clock, believed)
    assert (exchange.asked, ahead_ms(reading, stepped_clock)) == (2, 60_000)
    assert {"clock.stepped", "clock.skewed"} == {line["event"] for line in lines}


async def test_when_no_two_answers_agree_the_old_time_goes_on(
    timekeeper: Any, stepped_clock: Any
) -> None:
    believed = await measure(timekeeper, Exchange(stepped_clock, [(0, 0.1)]), stepped_clock)
    exchange = Exchange(stepped_clock, [(n * 10_000, 0.1) for n in range(1, 9)])
    assert await measure(timekeeper, exchange, stepped_clock, believed) is believed
    assert exchange.asked == 4


async def test_two_clocks_apart_are_trouble_until_they_agree_again(
    timekeeper: Any, stepped_clock: Any, troubles: list[Trouble]
) -> None:
    async def at(ahead: int) -> None:
        await measure(timekeeper, Exchange(stepped_clock, [(ahead, 0.1)]), stepped_clock)

    await at(0)
    assert troubles == [Trouble(kind=TroubleKind.CLOCK, reason=None)]  # whatever was is over
    troubles.clear()
    for ahead in (499, 700, 700, 450, 300):
        await at(ahead)
    told = [trouble.reason for trouble in troubles if trouble.reason]
    assert len(told) == 3
    assert "700 ms ahead" in told[0]
    assert troubles[-1].reason is None


async def test_a_question_that_fails_is_the_caller_s_to_judge(
    timekeeper: Any, stepped_clock: Any
) -> None:
    async def ask() -> int:
        raise OutcomeUnknown("no answer")

    with pytest.raises(OutcomeUnknown):
        await timekeeper.measure(ask, None)
