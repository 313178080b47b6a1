"""Who may ask: the Host and Origin checks and the bearer token.

The API listens on loopback, where every page that a browser on this machine shows can reach it.
So a request must name this server as its Host (a rebound DNS name does not), must not come from
another page's script (Origin, Sec-Fetch-Site), and needs the token to change anything; there are
no cookies that a browser would send along.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from vigil.errors import Misconfigured

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (compared with, not bound to)
_TOKEN_LENGTH_MIN = 32

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Headers(Struct, frozen=True, kw_only=True):
    """The headers that decide whether a request is heard; None where absent.

    Args:
        hosts: Every name the request uses for this server: Host, and the target's own if it
            was sent in absolute form.
    """

    hosts: tuple[str, ...]
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    authorization: str | None = None


class Refusal(Struct, frozen=True, kw_only=True):
    """A request that is not heard, and why."""

    status: int
    code: str
    message: str
    fix: str


class Gate:
    """Decides whether a request may be heard and whether it may change anything.

    Args:
        host: The address the server is bound to.
        port: The port it is bound to.
        token: The bearer token that commands need.
        proxied_names: Names under which a reverse proxy serves this API, in lower case.
    """

    def __init__(
        self, *, host: str, port: int, token: str, proxied_names: Iterable[str] = ()
    ) -> None:
        own = set() if host in _WILDCARDS else {f"[{host}]" if ":" in host else host.lower()}
        self._own_names = LOOPBACK_NAMES | own
        self._proxied_names = frozenset(proxied_names)
        self._port = port
        self._token_digest = _digest(token)

    def refusal(self, headers: Headers) -> Refusal | None:
        """Why a request from there is not heard, whatever it asks; None when it is."""
        if not headers.hosts or not all(map(self._is_own_host, headers.hosts)):
            return Refusal(
                status=421,
                code="foreign_host",
                message="the Host header does not name this server",
                fix=f"ask http://127.0.0.1:{self._port}, or list the name as a proxied one",
            )
        if headers.origin is not None and not self._is_own_origin(headers.origin):
            return _foreign_origin("the Origin header names another site")
        # Browsers that send no Origin with a plain GET still say whose page asked. Following a
        # link from another site to a page of ours is no harm; its scripts and images are.
        is_foreign = headers.fetch_site in ("cross-site", "same-site")
        if is_foreign and headers.fetch_mode != "navigate":
            return _foreign_origin("the request comes from another site's page")
        return None

    def refusal_of_command(self, headers: Headers) -> Refusal | None:
        """Why a request may not change anything; None when its token is right."""
        scheme, _, token = (headers.authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(token.strip()):
            return None
        return Refusal(
            status=401,
            code="unauthorized",
            message="this changes something and needs the bearer token",
            fix=(
                'send "Authorization: Bearer <token>"; the token is in the file api-token of the '
                "state directory"
            ),
        )

    def _is_token(self, token: str) -> bool:
        # Digests have one length, so that not even the token's length shows in the time taken.
        return hmac.compare_digest(_digest(token), self._token_digest)

    def _is_own_host(self, host: str) -> bool:
        match = _AUTHORITY.fullmatch(host.lower())
        if match is None:
            return False
        if match["name"] in self._proxied_names:
            return True
        is_own_port = match["port"] is None or int(match["port"]) == self._port
        return match["name"] in self._own_names and is_own_port

    def _is_own_origin(self, origin: str) -> bool:
        scheme, _, authority = origin.lower().partition("://")
        match = _AUTHORITY.fullmatch(authority)
        if match is None or scheme not in _DEFAULT_PORTS:
            return False
        if match["name"] in self._proxied_names:
            return True
        # Without a port an origin is another server of this machine, on port 80 or 443.
        port = int(match["port"] or _DEFAULT_PORTS[scheme])
        return match["name"] in self._own_names and port == self._port


def _foreign_origin(message: str) -> Refusal:
    return Refusal(
        status=403,
        code="foreign_origin",
        message=message,
        fix="ask from this server's own pages, or without an Origin",
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def new_token() -> str:
    """A token nobody can guess: 256 bits of the system's randomness."""
    return secrets.token_urlsafe(32)


class Secret(Protocol):
    """A value that does not show itself by accident, as settings hold it."""

    def get_secret_value(self) -> str:
        """The value itself."""
        ...


def load_or_create_token(
    path: Path,
    credential: Secret | None = None,
    *,
    secret_source: Callable[[], str] = new_token,
) -> str:
    """The API token: the credential if there is one, else that of `path`, made once.

    The file is readable by its owner only.

    Raises: Misconfigured, when the file is a link, another's, readable by others, no token, or
        cannot be made.
    """
    if credential is not None:
        return credential.get_secret_value()
    try:
        return _load_token(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Misconfigured(
            f"API token {path}: {error.strerror}; it must be a plain file: remove it and a new "
            "one will be made"
        ) from error
    token = secret_source()
    try:
        _save_token(path, token)
    except OSError as error:
        raise Misconfigured(
            f"API token {path} cannot be made: {error.strerror}; make the directory writable "
            "for the user that runs Vigil"
        ) from error
    return token


def _load_token(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Misconfigured(
                f"API token {path} is not a plain file of its own; remove it and a new one "
                "will be made"
            )
        if status.st_uid != os.geteuid():
            raise Misconfigured(
                f"API token {path} belongs to user {status.st_uid}, not to {os.geteuid()}; "
                "chown it, or remove it and a new one will be made"
            )
        if status.st_mode & 0o077:
            raise Misconfigured(
                f"API token {path} can be read by others (mode {status.st_mode & 0o777:04o}); "
                f"run: chmod 600 {path}, or remove it and a new one will be made"
            )
        text = file.read(4096).decode("ascii", "replace").strip()
    if len(text) < _TOKEN_LENGTH_MIN or not text.isascii() or not text.isprintable():
        raise Misconfigured(
            f"API token {path} holds no token of at least {_TOKEN_LENGTH_MIN} printable "
            "characters; remove it and a new one will be made"
        )
    return text


def _save_token(path: Path, token: str) -> None:
    """Write beside and rename, so that a crash leaves the whole token or none."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, 0o600), "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
