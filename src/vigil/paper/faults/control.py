"""The control endpoint: the fault menu and the ground truth over HTTP, for tests and people.

Off unless asked for, and for this machine alone: whoever reaches it can do anything to the paper
exchange. Requests from elsewhere, and those that a web page could send, are turned away.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from aiohttp import web

from vigil.paper.faults.deeds import Deeds, Shell
from vigil.paper.faults.entry import Unfit
from vigil.paper.faults.menu import ARMING_PARAMS, MENU
from vigil.paper.faults.truth import truth
from vigil.paper.http_body import read_body
from vigil.paper.wire.framing import require_encodable

_BODY_BYTES_MAX = 64 * 1024
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

_encoder = msgspec.json.Encoder(decimal_format="number")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlShell(Shell, Protocol):
    """What the endpoint needs of the server."""

    deeds: Deeds


class Control:
    """The endpoint of one server."""

    def __init__(self, shell: ControlShell) -> None:
        self._shell = shell

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Put it below `/control`."""
        router.add_get("/control/menu", self._guarded(self._menu))
        router.add_get("/control/armed", self._guarded(self._armed))
        router.add_get("/control/counters", self._guarded(self._counters))
        router.add_get("/control/truth", self._guarded(self._truth))
        router.add_post("/control/arm", self._guarded(self._arm))
        router.add_post("/control/disarm", self._guarded(self._disarm))
        router.add_post("/control/do", self._guarded(self._do))

    def _guarded(self, handler: Callable[[web.Request], Awaitable[Any]]) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not _is_local(request):
                return _answer({"error": "only from this machine, and from no web page"}, 403)
            try:
                return _answer(await handler(request))
            except Unfit as error:
                return _answer({"error": str(error), "field": error.field}, 400)

        return handle

    async def _menu(self, _: web.Request) -> Any:
        return {
            "faults": [fault.described() for fault in MENU.values()],
            "arming": [param.described() for param in ARMING_PARAMS],
        }

    async def _armed(self, _: web.Request) -> Any:
        arms = self._shell.faults.arms
        return {
            "armed": [armed.described() for armed in arms.armed()],
            "spent": [armed.described() for armed in arms.spent],
        }

    async def _counters(self, _: web.Request) -> Any:
        """How often each fault of the menu struck, those that never did included."""
        hits = self._shell.faults.arms.hits
        return {"hits": {name: hits[name] for name in MENU}}

    async def _truth(self, _: web.Request) -> Any:
        shell = self._shell
        return truth(shell.venue, shell.faults.arrivals, shell.clock.now_ms())

    async def _arm(self, request: web.Request) -> Any:
        given = await _read_body(request)
        name = _taken_name(given)
        shell = self._shell
        return shell.faults.arms.arm(name, given, shell.clock.now_ms()).described()

    async def _disarm(self, request: web.Request) -> Any:
        given = await _read_body(request)
        faults = self._shell.faults
        if given == {"all": True}:
            count = len(faults.arms.armed())
            faults.clear()
            return {"disarmed": count}
        number = given.get("id")
        if set(given) != {"id"} or not isinstance(number, int) or isinstance(number, bool):
            raise Unfit("id", 'give {"id": 3}, as arming answered, or {"all": true}')
        return faults.disarm(number).described()

    async def _do(self, request: web.Request) -> Any:
        given = await _read_body(request)
        name = _taken_name(given)
        return {"done": self._shell.deeds.do(name, **given)}


def _is_local(request: web.Request) -> bool:
    """From this machine's own address, by its own name, and not by a browser for some page.

    A page's requests carry `Origin` where they could change something, and `Sec-Fetch-Site` always;
    that is `none` for an address that a person typed.
    """
    try:
        is_loopback = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    is_of_a_page = request.headers.get("Sec-Fetch-Site", "none") != "none"
    is_of_a_page = is_of_a_page or "Origin" in request.headers
    return is_loopback and host in _LOCAL_NAMES and not is_of_a_page


async def _read_body(request: web.Request) -> dict[str, Any]:
    """The body, a JSON object without duplicate fields. Raises: Unfit."""
    body = await read_body(request, _BODY_BYTES_MAX)
    if len(body) > _BODY_BYTES_MAX:
        raise Unfit("body", f"more than {_BODY_BYTES_MAX} bytes")
    try:
        given = json.loads(
            body,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_duplicates,
        )
        require_encodable(given)
    except (ValueError, RecursionError) as error:
        raise Unfit("body", f"no JSON object: {error}") from error
    if not isinstance(given, dict):
        raise Unfit("body", 'no JSON object; give one like {"fault": "lose-request"}')
    return given


def _taken_name(given: dict[str, Any]) -> str:
    name = given.pop("fault", None)
    if not isinstance(name, str):
        raise Unfit("fault", "name one of the menu's faults; GET /control/menu lists all")
    return name


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a field stands there twice")
    return dict(pairs)


def _answer(content: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=_encoder.encode(content), status=status, content_type="application/json"
    )
