"""The HTTP border: one aiohttp request in, one reply out, and every failure told in one shape.

In order: is it ours to hear (Host, Origin), what does it ask (route), may it (token), what exactly
(body, query); then the handler, within a deadline. Nothing that goes wrong inside shows more than
its kind outside: the trace goes to the log, once.

Importing this module imports aiohttp's server, which is slow; `web/server.py` does it late.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web

from vigil.errors import VigilError
from vigil.web.api import ROUTES
from vigil.web.connections import Connection
from vigil.web.failures import Failure, failure_of
from vigil.web.requests import Asked, Nothing, parse_body, parse_query
from vigil.web.route import Answer, Context, Route, RouteMissing, find_route
from vigil.web.security import Gate, Headers, Refusal
from vigil.web.shapes import ErrorDetail, ErrorReply, encode_json

_log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 64 * 1024

_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "vigil",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_BUG = Failure(
    status=500,
    code="internal",
    message="this request met a bug in Vigil",
    fix="look for api.handler_failed in the log",
)


class Border:
    """Turns requests into replies; the handler given to aiohttp's low-level server.

    Args:
        handler_s: Seconds a handler may take before 504 is sent in its place.
    """

    def __init__(self, *, context: Context, gate: Gate, handler_s: float) -> None:
        self._context = context
        self._gate = gate
        self._handler_s = handler_s

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """The reply to one request; never raises for what the request holds."""
        connection = _connection_of(request)
        try:
            reply = await self._answer(request, connection)
        except Failure as failure:
            reply = _error_response(failure)
        except Exception:  # noqa: BLE001 - the HTTP border: logged here, told without details
            _log.exception("api.handler_failed", path=request.path[:200])
            reply = _error_response(_BUG)
        if connection is not None:
            connection.reply_ready()
        return reply

    async def _answer(
        self, request: web.BaseRequest, connection: Connection | None
    ) -> web.Response:
        headers = _headers_of(request)
        _refuse(request, self._gate.refusal(headers))
        route = find_route(ROUTES, request.method, request.path)
        if isinstance(route, RouteMissing):
            raise _missing(request, route)
        if route.is_command:
            _refuse(request, self._gate.refusal_of_command(headers))
        body = await _read_body(request) if route.is_command else b""
        if connection is not None:
            connection.request_received()
        return _response(await self._handle(route, request, body))

    async def _handle(self, route: Route[Any], request: web.BaseRequest, body: bytes) -> Answer:
        try:
            asked = _asked(route, request, body)
            if route.is_command:
                _log.info(
                    "api.command_received", path=route.path, asked=repr(asked), peer=request.remote
                )
            async with asyncio.timeout(self._handler_s):
                return await route.handle(self._context, asked)
        except TimeoutError as error:
            raise Failure(
                status=504,
                code="timeout",
                message=f"no answer within {self._handler_s:g} s; what was asked may still happen",
                fix="look at /health, then ask again",
            ) from error
        except VigilError as error:
            if route.is_command:
                _log.warning("api.command_failed", path=route.path, reason=str(error))
            raise failure_of(error) from error


def serve(border: Border) -> web.Server:
    """The low-level server of aiohttp around a border; it makes the protocol of one connection.

    Bodies are left as they were sent, so that a few bytes cannot unfold to gigabytes.
    """
    return web.Server(border, auto_decompress=False, access_log=None, lingering_time=2.0)


def _asked(route: Route[Asked], request: web.BaseRequest, body: bytes) -> Asked:
    """What is asked, checked: the query of a GET, the body of a POST."""
    pairs = list(request.query.items())
    if not route.is_command:
        return parse_query(pairs, route.asked)
    parse_query(pairs, Nothing)
    return parse_body(body, route.asked)


async def _read_body(request: web.BaseRequest) -> bytes:
    """The whole body, at most `BODY_BYTES_MAX`."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Failure(
            status=415,
            code="unsupported_encoding",
            message="compressed bodies are not read",
            fix="send the body as it is",
        )
    body = bytearray()
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise Failure(
                    status=413,
                    code="body_too_large",
                    message=f"the body is larger than {BODY_BYTES_MAX} bytes",
                    headers=(("Connection", "close"),),
                )
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Failure(
            status=400, code="bad_request", message="the body is broken off or malformed"
        ) from error
    return bytes(body)


def _connection_of(request: web.BaseRequest) -> Connection | None:
    """The connection a request came on; None once it is gone."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Connection) else None


def _headers_of(request: web.BaseRequest) -> Headers:
    hosts = request.headers.getall("Host", [])
    # A target in absolute form overrides Host. Source: RFC 9112, 3.2.2.
    target = request.url if request.raw_path.partition(":")[0] in ("http", "https") else None
    return Headers(
        hosts=(*hosts, *([] if target is None else [target.authority])),
        origin=request.headers.get("Origin"),
        fetch_site=request.headers.get("Sec-Fetch-Site"),
        fetch_mode=request.headers.get("Sec-Fetch-Mode"),
        authorization=request.headers.get("Authorization"),
    )


def _refuse(request: web.BaseRequest, refusal: Refusal | None) -> None:
    if refusal is None:
        return
    _log.warning("api.request_refused", reason=refusal.code, peer=request.remote)
    headers = (("WWW-Authenticate", "Bearer"),) if refusal.status == HTTPStatus.UNAUTHORIZED else ()
    raise Failure(
        status=refusal.status,
        code=refusal.code,
        message=refusal.message,
        fix=refusal.fix,
        headers=headers,
    )


def _missing(request: web.BaseRequest, missing: RouteMissing) -> Failure:
    if not missing.allowed:
        return Failure(
            status=404,
            code="not_found",
            message=f"there is no {request.path[:200]!r} here",
            fix="see /openapi.json",
        )
    allowed = ", ".join(missing.allowed)
    return Failure(
        status=405,
        code="method_not_allowed",
        message=f"{request.path} does not know {request.method[:20]}",
        fix=f"use {allowed}",
        headers=(("Allow", allowed),),
    )


def _response(answer: Answer) -> web.Response:
    if isinstance(answer.content, str):
        body, media_type = answer.content.encode(), "text/html; charset=utf-8"
    else:
        body, media_type = encode_json(answer.content), "application/json"
    headers = {**_SECURITY_HEADERS, "Content-Type": media_type}
    return web.Response(status=answer.status, body=body, headers=headers)


def _error_response(failure: Failure) -> web.Response:
    detail = ErrorDetail(
        code=failure.code, message=failure.message, field=failure.field, fix=failure.fix
    )
    response = _response(Answer(content=ErrorReply(error=detail), status=failure.status))
    response.headers.update(failure.headers)
    return response
