"""The HTTP server: listens, hands connections to the border, and stops within a bound."""

import asyncio
import errno
import importlib
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.errors import Misconfigured
from vigil.web.connections import ConnectionTable
from vigil.web.operations import Operations
from vigil.web.security import Gate

if TYPE_CHECKING:
    from aiohttp.web import Server

_log = structlog.get_logger(__name__)

# Connections that may wait to be accepted, as asyncio's own default has it.
BACKLOG = 100


class ServerLimits(Struct, frozen=True, kw_only=True):
    """What one peer may cost us, in seconds and sockets.

    Args:
        receipt_s: For a request to arrive in full.
        idle_s: For a reply to be read and the next request to begin.
        handler_s: For a handler to answer.
        stop_s: For requests in progress when the server stops.
    """

    receipt_s: float = 10.0
    idle_s: float = 30.0
    handler_s: float = 30.0
    stop_s: float = 3.0
    connections_max: int = 128


class ApiServer:
    """Serves the API from `start` to `stop`.

    Args:
        host: Address to bind; loopback unless the operator says otherwise.
        port: Port to bind; 0 takes a free one, see `port`.
        token: Bearer token that commands need.
        proxied_names: Names under which a reverse proxy serves this API.
    """

    def __init__(
        self,
        operations: Operations,
        *,
        host: str,
        port: int,
        token: str,
        clock: Clock,
        proxied_names: Iterable[str] = (),
        limits: ServerLimits | None = None,
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._host = host
        self._port = port
        self._token = token
        self._proxied_names = tuple(proxied_names)
        self._limits = limits or ServerLimits()
        self._http: Server | None = None
        self._connections: ConnectionTable | None = None
        self._listener: asyncio.Server | None = None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port in use once started; before that the one asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where people look."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def bind(self) -> None:
        """Take the address. Who connects from now on waits until `serve` answers.

        Raises: Misconfigured, when the address cannot be bound; it names the setting to change.
        """
        assert self._socket is None, "bound twice"
        self._socket = self._bound_socket()
        self._port = self._socket.getsockname()[1]

    async def serve(self) -> None:
        """Answer, from here to `stop`. `bind` must have been called."""
        assert self._socket is not None, "bind comes first"
        # aiohttp's server takes 0.2 s to import; in a thread, the loop keeps turning meanwhile.
        border = await asyncio.to_thread(importlib.import_module, "vigil.web.border")
        from vigil.web.route import Context  # noqa: PLC0415 - which came with it

        gate = Gate(
            host=self._host, port=self._port, token=self._token, proxied_names=self._proxied_names
        )
        limits = self._limits
        self._http = border.serve(
            border.Border(
                context=Context(operations=self._operations, clock=self._clock),
                gate=gate,
                handler_s=limits.handler_s,
            )
        )
        self._connections = ConnectionTable(
            self._http,
            receipt_s=limits.receipt_s,
            idle_s=limits.idle_s,
            connections_max=limits.connections_max,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._connect, sock=self._socket
        )

    async def start(self) -> None:
        """Take the address and answer at once.

        Raises: as `bind`.
        """
        self.bind()
        await self.serve()

    async def stop(self) -> None:
        """Refuse new connections, let requests in progress finish, drop the rest. Bounded."""
        bound, self._socket = self._socket, None
        if self._listener is None:
            if bound is not None:
                bound.close()
            return
        listener, self._listener = self._listener, None
        listener.close()
        assert self._http is not None
        assert self._connections is not None
        try:
            async with asyncio.timeout(self._limits.stop_s):
                self._http.pre_shutdown()
                await self._http.shutdown(self._limits.stop_s)
        except TimeoutError:
            _log.warning("api.stop_cut_short", connections=len(self._connections))
        finally:
            self._connections.abort_all()

    def _bound_socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Misconfigured(
                    f"port {self._port} on {self._host} is in use; set VIGIL_HTTP_PORT to a free "
                    f"port, or stop what listens there (ss -ltnp 'sport = :{self._port}')"
                ) from error
            raise Misconfigured(
                f"cannot listen on {self._host} port {self._port}: {error.strerror or error}; "
                "set VIGIL_HTTP_PORT to a port from 1024 to 65535 and the host to an address "
                "of this machine"
            ) from error

    def _connect(self) -> asyncio.Protocol:
        assert self._connections is not None, "a connection before serving started"
        return self._connections()
