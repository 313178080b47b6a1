"""The account's API keys: what each may do at most, from where, and whether it still counts.

Source: Deribit API v2, authentication and API key management.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from vigil.paper.refusals import invalid_credentials, refusal_of
from vigil.paper.session.rights import FULL_RIGHTS, READER_RIGHTS, Rights, parse_rights

# Printed at every start and always the same: this is a paper account, not a secret.
CLIENT_ID = "vigil-paper"
CLIENT_SECRET = "vigil-paper-secret-0001"  # noqa: S105
READER_ID = "vigil-paper-reader"
READER_SECRET = "vigil-paper-reader-secret-0001"  # noqa: S105

SIGNATURE_AGE_MS_MAX = 60_000
_NONCES_MAX = 10_000
_ANY_ADDRESS = "*"


@dataclass(slots=True, kw_only=True)
class ApiKey:
    """One key.

    Args:
        rights: The most that a login with it is granted.
        address: The only one that it may be used from; `*` for any.
        is_enabled: A key that was disabled or deleted no longer logs in.
    """

    client_id: str
    client_secret: str
    rights: Rights
    address: str = _ANY_ADDRESS
    is_enabled: bool = True

    def is_welcome_from(self, address: str) -> bool:
        """Whether its address list lets a caller in."""
        return is_address_allowed(self.address, address)


def is_address_allowed(allowed: str, address: str) -> bool:
    """Whether an address is the one that is allowed; `*` allows all."""
    return allowed in (_ANY_ADDRESS, address)


@dataclass(slots=True)
class Keys:
    """All keys of the account, and the signatures that they were used with.

    Args:
        wrong_address_code: How a key is refused from an address that is not on its list.
        http_nonce_is_good_once: Whether that holds for requests signed by header, too.
    """

    wrong_address_code: int = 13004
    http_nonce_is_good_once: bool = False
    _by_id: dict[str, ApiKey] = field(default_factory=dict)
    _nonces: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add(ApiKey(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, rights=FULL_RIGHTS))
        self.add(ApiKey(client_id=READER_ID, client_secret=READER_SECRET, rights=READER_RIGHTS))

    def add(self, key: ApiKey) -> None:
        """Put a key in place, instead of one of the same name."""
        self._by_id[key.client_id] = key

    @property
    def client_ids(self) -> tuple[str, ...]:
        """The names of all keys."""
        return tuple(self._by_id)

    def find(self, client_id: str) -> ApiKey:
        """A key by its name. Raises: KeyError."""
        return self._by_id[client_id]

    def set_scope(self, client_id: str, scope: str) -> None:
        """Change what logins from now on are granted at most."""
        self.find(client_id).rights = parse_rights(scope)

    def check_secret(self, client_id: str, client_secret: str, *, address: str = "") -> ApiKey:
        """The key of that name and secret. Raises: Refusal 13004."""
        key = self._by_id.get(client_id)
        if key is None or not hmac.compare_digest(
            client_secret.encode("utf-8", "replace"), key.client_secret.encode()
        ):
            raise invalid_credentials()
        return self._admitted(key, address)

    def check_signature(
        self,
        *,
        client_id: str,
        signature: str,
        text: str,
        timestamp_ms: int,
        nonce: str | None,
        now_ms: int,
        address: str = "",
    ) -> ApiKey:
        """The key that signed `text`.

        Args:
            nonce: Good once; None where it may come again.

        Raises: Refusal 13004, when the signature is wrong or old, or its nonce was used.
        """
        key = self._by_id.get(client_id)
        if key is None:
            raise invalid_credentials()
        expected = hmac.new(key.client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        is_right = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        is_fresh = abs(now_ms - timestamp_ms) <= SIGNATURE_AGE_MS_MAX
        if not is_right or not is_fresh or not self._use_nonce(client_id, nonce, now_ms):
            raise invalid_credentials()
        return self._admitted(key, address)

    def _admitted(self, key: ApiKey, address: str) -> ApiKey:
        if not key.is_enabled:
            raise invalid_credentials()
        if not key.is_welcome_from(address):
            raise refusal_of(self.wrong_address_code)
        return key

    def _use_nonce(self, client_id: str, nonce: str | None, now_ms: int) -> bool:
        """Whether the nonce is new; it is remembered while a signature with it could be fresh."""
        if nonce is None:
            return True
        for used, until_ms in tuple(self._nonces.items()):
            if until_ms >= now_ms and len(self._nonces) <= _NONCES_MAX:
                break
            del self._nonces[used]
        if (client_id, nonce) in self._nonces:
            return False
        self._nonces[client_id, nonce] = now_ms + 2 * SIGNATURE_AGE_MS_MAX
        return True
