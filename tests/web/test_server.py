import asyncio
import socket
import subprocess
import sys

import httpx
import pytest

from vigil.clock import SystemClock
from vigil.errors import Misconfigured
from vigil.web.server import ApiServer


def _server(operations, host, port):
    return ApiServer(operations, host=host, port=port, token="t" * 40, clock=SystemClock())


async def test_a_port_in_use_names_port_setting_and_fix(operations):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = _server(operations, "127.0.0.1", port)
        with pytest.raises(Misconfigured, match=f"port {port} .* in use; set VIGIL_HTTP_PORT"):
            await server.start()
        await server.stop()


async def test_an_address_of_another_machine_is_named(operations):
    with pytest.raises(Misconfigured, match=r"cannot listen on 192\.0\.2\.1 port 3000"):
        await _server(operations, "192.0.2.1", 3000).start()


async def test_stop_frees_the_port_and_is_harmless_twice(operations):
    server = _server(operations, "127.0.0.1", 0)
    await server.start()
    port = server.port
    await server.stop()
    await server.stop()
    again = _server(operations, "127.0.0.1", port)
    await again.start()
    await again.stop()


async def test_stop_is_bounded_while_a_handler_hangs(serve, operations, bearer):
    operations.is_stuck = True
    async with serve(stop_s=0.2) as server, httpx.AsyncClient(base_url=server.url) as client:
        hanging = asyncio.ensure_future(client.post("/api/reconcile", headers=bearer))
        async with asyncio.timeout(5):
            while not len(server._connections):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            await server.stop()
        with pytest.raises(httpx.HTTPError):
            await hanging


async def test_stop_lets_a_request_in_progress_finish(serve, operations, bearer):
    entered, released = asyncio.Event(), asyncio.Event()
    reconcile = operations.reconcile

    async def slowly():
        entered.set()
        await released.wait()
        return await reconcile()

    operations.reconcile = slowly
    async with serve() as server, httpx.AsyncClient(base_url=server.url) as client:
        asked = asyncio.ensure_future(client.post("/api/reconcile", headers=bearer))
        await entered.wait()
        asyncio.get_running_loop().call_later(0.1, released.set)
        await server.stop()
        assert (await asked).status_code == 200


def test_importing_the_server_does_not_import_aiohttp():
    code = "import sys, vigil.web.server; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
