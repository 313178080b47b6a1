"""Reading the body of an HTTP request: whole, however slowly it comes, and bounded."""

import asyncio

from aiohttp import web

_BODY_WITHIN_S = 10.0


async def read_body(request: web.Request, bytes_max: int) -> bytes:
    """All of the body, or as much as shows that it is larger than `bytes_max`.

    Raises: web.HTTPRequestTimeout.
    """
    body = b""
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            while len(body) <= bytes_max:
                chunk = await request.content.read(bytes_max + 1 - len(body))
                if not chunk:
                    break
                body += chunk
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    return body
