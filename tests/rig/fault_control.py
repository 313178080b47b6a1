"""The paper exchange's fault menu, driven over HTTP as a script on the same machine would."""

import json
from decimal import Decimal

import httpx


class Mistake(Exception):
    """The endpoint refused; `field` is what it names."""

    def __init__(self, text, field):
        super().__init__(text)
        self.field = field


class FaultControl:
    """One exchange's menu.

    Args:
        url: Its `control_url`, or the `control` line of `vigil paper --control`.
    """

    def __init__(self, url):
        self._http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._http.aclose()

    async def menu(self):
        return {fault["name"]: fault for fault in (await self._get("menu"))["faults"]}

    async def arm(self, fault, /, **fields):
        """Arm a fault. Returns its id."""
        return (await self._post("arm", {"fault": fault, **fields}))["id"]

    async def armed(self):
        return (await self._get("armed"))["armed"]

    async def disarm(self, number=None):
        """Disarm one, or all."""
        return await self._post("disarm", {"all": True} if number is None else {"id": number})

    async def do(self, fault, /, **fields):
        """Have a deed done now. Returns what it came to."""
        return (await self._post("do", {"fault": fault, **fields}))["done"]

    async def hits(self):
        """How often each fault struck."""
        return (await self._get("counters"))["hits"]

    async def truth(self):
        return await self._get("truth")

    async def _get(self, path):
        return _read(await self._http.get(f"/{path}"))

    async def _post(self, path, body):
        return _read(await self._http.post(f"/{path}", content=json.dumps(body, default=_plain)))


def _plain(value):
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value))


def _read(response):
    body = json.loads(response.content, parse_float=Decimal)
    if response.status_code != 200:
        raise Mistake(body["error"], body.get("field"))
    return body
