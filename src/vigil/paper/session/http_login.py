"""Login by HTTP header: key and secret, a token, or a signed request.

Source: Deribit API v2, authentication over HTTP: `Basic`, `Bearer`, and `deri-hmac-sha256` over
timestamp, nonce, method, URI and body, each ended by a newline.
"""

import base64
import binascii
from dataclasses import dataclass

from vigil.paper.refusals import invalid_credentials
from vigil.paper.session.keys import ApiKey, Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLogin:
    """What a header proves: a right key, or a token still to be looked at."""

    key: ApiKey | None = None
    access_token: str | None = None


def read_login(
    header: str | None,
    *,
    verb: str,
    uri: str,
    body: bytes,
    keys: Keys,
    now_ms: int,
    address: str = "",
) -> HttpLogin:
    """Judge an `Authorization` header. Raises: Refusal 13004, when a key or signature is wrong."""
    if header is None:
        return HttpLogin()
    scheme, _, value = header.strip().partition(" ")
    match scheme.lower():
        case "basic":
            client_id, client_secret = _decode_basic(value.strip())
            return HttpLogin(key=keys.check_secret(client_id, client_secret, address=address))
        case "bearer":
            return HttpLogin(access_token=value.strip())
        case "deri-hmac-sha256":
            parts = dict(part.strip().partition("=")[::2] for part in value.split(","))
            timestamp, nonce = parts.get("ts", ""), parts.get("nonce", "")
            if not timestamp.isdecimal():
                raise invalid_credentials()
            text = f"{timestamp}\n{nonce}\n{verb}\n{uri}\n{body.decode('utf-8', 'replace')}\n"
            key = keys.check_signature(
                client_id=parts.get("id", ""),
                signature=parts.get("sig", ""),
                text=text,
                timestamp_ms=int(timestamp[:18]),
                nonce=nonce if keys.http_nonce_is_good_once else None,
                now_ms=now_ms,
                address=address,
            )
            return HttpLogin(key=key)
        case _:
            raise invalid_credentials()


def _decode_basic(value: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid_credentials() from error
    client_id, _, client_secret = text.partition(":")
    return client_id, client_secret
