"""The second witness: the same questions over HTTP, for when the socket is suspect.

A session that lost frames answers as confidently as a whole one, so what decides over a trade is
asked on another road. Each call carries the key itself and depends on no session; it spends the
same account's credits. No httpx type appears in a signature.
Source: Deribit API v2 over HTTP: POST with a JSON-RPC body, `Authorization: Basic`, errors as 400.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from vigil.deribit.classify import classify, query_error
from vigil.deribit.credits import Lane
from vigil.deribit.jsonrpc import (
    FRAME_BYTES_MAX,
    ErrorReply,
    Reply,
    decode_frame,
    encode_request,
)
from vigil.deribit.outcome import Verdict
from vigil.deribit.reading import Reader
from vigil.deribit.session import Secret
from vigil.deribit.throttle import Throttle
from vigil.deribit.wire import Unreadable
from vigil.errors import Misconfigured, OutcomeUnknown, Transient, VigilError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 10.0


class RestWitness(Reader):
    """Typed questions over HTTP.

    Args:
        base_url: With its path: `https://www.deribit.com/api/v2`.
        throttle: The account's credits, shared with the session.
        exchange_now_ms: The exchange's time as the session measured it. What is recent and what is
            archived is a matter of hours; nothing else is taken from the session.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: Secret,
        *,
        throttle: Throttle,
        exchange_now_ms: Callable[[], int],
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._throttle = throttle
        self._exchange_now_ms = exchange_now_ms
        self._last_id = 0
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout_s = timeout_s
        self._http: httpx.AsyncClient | None = None

    def exchange_now_ms(self) -> int:
        """The best guess at exchange time."""
        return self._exchange_now_ms()

    async def close(self) -> None:
        """Close the connections it kept."""
        if self._http is not None:
            await self._http.aclose()

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        # Imported and built at the first question, and not at every start: most runs never ask.
        import httpx  # noqa: PLC0415

        if self._http is None:
            # trust_env off: a .netrc would replace our credentials, a proxy variable our road.
            self._http = httpx.AsyncClient(
                auth=httpx.BasicAuth(self._client_id, self._client_secret.get_secret_value()),
                timeout=self._timeout_s,
                trust_env=False,
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            )
        if not self._throttle.try_spend(method, Lane.QUERY):
            await self._throttle.spend(method, Lane.QUERY, within_s=self._timeout_s)
        self._last_id += 1
        content = encode_request(self._last_id, method, params)
        failure: VigilError
        try:
            # httpx itself bounds each step and not their sum: a drip could go on for ever.
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._post(self._http, method, content)
        except TimeoutError:
            failure = OutcomeUnknown(f"{method}: no whole answer within {self._timeout_s:g} s")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            failure = Transient(f"{method}: no connection to {self._base_url}: {error}")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            failure = Misconfigured(
                f"{self._base_url!r} is no HTTP URL: set VIGIL_DERIBIT_HTTP_URL"
            )
        except httpx.RequestError as error:
            failure = OutcomeUnknown(f"{method}: {type(error).__name__} {error}".rstrip())
        else:
            return self._result(method, status, body)
        # Raised out here, so that no frame that held the key stays on it: some renderers of
        # tracebacks show local variables.
        raise failure

    async def _post(
        self, http: "httpx.AsyncClient", method: str, content: bytes
    ) -> tuple[int, bytes]:
        """The status and the body of one answer, or of as much of it as can be one."""
        url = f"{self._base_url}/{method}"
        async with http.stream("POST", url, content=content) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > FRAME_BYTES_MAX:
                    break
            return response.status_code, bytes(body)

    def _result(self, method: str, status: int, body: bytes) -> msgspec.Raw:
        # The status adds nothing: errors come as 400 with the same body as over the socket. A
        # gateway's own page is no such body.
        reply = decode_frame(body)
        if isinstance(reply, ErrorReply):
            self.novelties.note_error(method, reply)
            if classify(reply.code, reply.message) is Verdict.SESSION_LOST:
                self._throttle.drain(str(reply))
            raise query_error(method, reply)
        if isinstance(reply, Reply):
            return reply.result
        raise Unreadable(f"{method}: HTTP {status} without a JSON-RPC answer")
