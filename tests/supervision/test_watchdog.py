"""What reaches the service manager, over a real datagram socket."""

import asyncio
import os
import socket

import pytest

from vigil.clock import SystemClock
from vigil.supervision.watchdog import Watchdog, watchdog_timeout_s


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A socket as systemd binds it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        path = str(tmp_path / "notify")
        server.bind(path)
        server.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield server


def received(manager) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture
def watchdog():
    made = []

    def make(**environ) -> Watchdog:
        made.append(Watchdog(clock=SystemClock(), environ=dict(os.environ) | environ))
        return made[-1]

    yield make
    for dog in made:
        dog.close()


def test_every_notice_is_what_sd_notify_documents(manager, watchdog):
    dog = watchdog()
    dog.extend_timeout(5_000_000)
    dog.ready()
    dog.status("trading, 3 strategies")
    dog.stopping()
    assert dog.is_supervised
    assert received(manager) == [
        "EXTEND_TIMEOUT_USEC=5000000",
        "READY=1",
        "STATUS=trading, 3 strategies",
        "STOPPING=1",
    ]


def test_a_status_can_inject_no_further_assignment(manager, watchdog):
    watchdog().status("bad\nWATCHDOG=1\nname é " + "x" * 500)
    (message,) = received(manager)
    assert "\n" not in message
    assert message.startswith("STATUS=bad WATCHDOG=1 name ? xx")
    assert len(message) <= len("STATUS=") + 200


def test_the_same_status_is_sent_once(manager, watchdog):
    dog = watchdog()
    for text in ("a", "a", "b", "b", "a"):
        dog.status(text)
    assert received(manager) == ["STATUS=a", "STATUS=b", "STATUS=a"]


async def test_pings_only_while_alive_and_says_why_not(manager, watchdog):
    trouble = None
    dog = watchdog(WATCHDOG_USEC="15000", WATCHDOG_PID=str(os.getpid()))
    seen = []

    async def until(text, count=1) -> None:
        while seen.count(text) < count:
            seen.extend(received(manager))
            await asyncio.sleep(0.001)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        run = group.create_task(dog.run(lambda: trouble))
        await until("WATCHDOG=1", 3)
        trouble = "reconciler is stuck"
        await until("STATUS=not alive: reconciler is stuck")
        seen.extend(received(manager))
        quiet_from = len(seen)
        await asyncio.sleep(0.05)  # several ping times
        seen.extend(received(manager))
        assert "WATCHDOG=1" not in seen[quiet_from:]
        trouble = None
        await until("STATUS=alive again")
        run.cancel()


async def test_no_ping_is_sent_when_systemd_does_not_watch(manager, watchdog):
    async with asyncio.TaskGroup() as group:
        run = group.create_task(watchdog().run(lambda: None))
        await asyncio.sleep(0.01)
        run.cancel()
    assert received(manager) == []


def test_a_manager_that_does_not_read_never_blocks_us_and_losses_are_counted(manager, watchdog):
    dog = watchdog()
    for _ in range(10_000):
        dog.ready()
    assert dog.notices_lost > 0


def test_a_manager_that_is_gone_never_raises(manager, watchdog):
    dog = watchdog()
    manager.close()
    dog.ready()
    assert dog.notices_lost == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify's socket
def test_a_manager_that_never_was_is_no_error(manager, watchdog, tmp_path):
    (tmp_path / "notify").unlink()
    assert not watchdog().is_supervised


def test_without_systemd_nothing_happens(monkeypatch, watchdog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    dog = watchdog()
    dog.ready()
    dog.status("x")
    assert not dog.is_supervised
    assert dog.timeout_s is None
    assert dog.notices_lost == 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, None, id="not set"),
        pytest.param({"WATCHDOG_USEC": "30000000"}, 30.0, id="set, any process"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0, id="set, ours"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None, id="not ours"),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="off"),
        pytest.param({"WATCHDOG_USEC": "-5"}, None, id="negative"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="not a number"),
        pytest.param({"WATCHDOG_USEC": "²"}, None, id="a digit, but not one int reads"),
    ],
)
def test_timeout_is_read_as_systemd_defines_it(environ, expected):
    assert watchdog_timeout_s(environ, pid=7) == expected
