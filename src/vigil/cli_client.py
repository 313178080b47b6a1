"""The terminal's way to a running Vigil: one HTTP request over the standard library.

http.client starts in a fifth of the time that a full HTTP library needs, and a command line is
all start.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit


class UsageError(Exception):
    """What was typed cannot be done; the message says what to type."""


class Unreachable(Exception):
    """No Vigil answers there; the message names the address and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back.

    Args:
        text: The JSON as it came.
        content: The same, numbers with a fraction as Decimal.
    """

    status: int
    text: str
    content: dict[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether it is what was asked for."""
        return 200 <= self.status < 300


class ApiClient:
    """Asks one Vigil.

    Args:
        url: As `http://127.0.0.1:3000`.
        timeout_s: For connecting and for each read.

    Raises: UsageError, when the address is none.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{url!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not self._host:
            raise UsageError(f"{url!r} is no address; give one like http://127.0.0.1:3000")
        self._is_secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """Read something.

        Raises: Unreachable.
        """
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None, {})

    def post(self, path: str, content: Mapping[str, str], token: str) -> Reply:
        """Command something.

        Raises: Unreachable.
        """
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._ask("POST", path, json.dumps(content).encode(), headers)

    def _ask(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        assert self._host is not None
        kind = HTTPSConnection if self._is_secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self._prefix + target, body, dict(headers))
            response = connection.getresponse()
            text = response.read().decode()
            content = json.loads(text, parse_float=Decimal)
        except OSError as error:
            raise Unreachable(
                f"cannot reach {self._url}: {error.strerror or error}. Start Vigil with "
                "./scripts/run or systemctl start vigil; if it listens elsewhere, give --url or "
                "VIGIL_HTTP_PORT"
            ) from error
        except (HTTPException, ValueError) as error:
            raise Unreachable(
                f"{self._url} answers, but not as Vigil does ({error}); check --url"
            ) from error
        finally:
            connection.close()
        if not isinstance(content, dict):
            raise Unreachable(f"{self._url} answers, but not as Vigil does; check --url")
        return Reply(status=response.status, text=text.rstrip("\n"), content=content)
