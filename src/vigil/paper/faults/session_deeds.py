"""Deeds to logins, keys and the account's right to trade. Pure."""

from collections.abc import Mapping

from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.platform import ALL_CURRENCIES
from vigil.paper.reactions import Outgoing
from vigil.paper.session.keys import ApiKey
from vigil.paper.session.rights import parse_rights

# Reserved for documentation: nobody calls from there. Source: RFC 5737.
_ELSEWHERE = "203.0.113.1"
_ANYWHERE = "*"


def _expire_tokens(scene: Scene) -> Deed:
    venue = scene.venue
    count = len(venue.sessions.tokens.all())
    if scene.values["refresh_too"]:
        venue.operator.drop_all_sessions()
    else:
        venue.operator.expire_tokens(scene.now_ms)
    return Deed(done={"tokens": count})


def _revoke_key(scene: Scene) -> Deed:
    key = _key(scene)
    if scene.values["revoked"]:
        scene.venue.operator.revoke_key(key.client_id)
    else:
        key.is_enabled = True
    return Deed(done={"client_id": key.client_id, "is_enabled": key.is_enabled})


def _narrow_scope(scene: Scene) -> Deed:
    key, scope = _key(scene), scene.values["scope"]
    scene.venue.operator.set_key_scope(key.client_id, scope)
    for token in scene.venue.sessions.tokens.of_key(key.client_id):
        token.rights = parse_rights(scope)
    return Deed(done={"client_id": key.client_id, "scope": scope})


def _block_address(scene: Scene) -> Deed:
    keys = [scene.venue.sessions.keys.find(client_id) for client_id in _client_ids(scene)]
    for key in keys:
        key.address = _ELSEWHERE if scene.values["blocked"] else _ANYWHERE

    def let_in(_: int) -> tuple[Outgoing, ...]:
        for key in keys:
            key.address = _ANYWHERE
        return ()

    return Deed(done={"blocked": scene.values["blocked"]}, undo=let_in)


def _lock_account(scene: Scene) -> Deed:
    venue = scene.venue
    currency = ALL_CURRENCIES if scene.values["currency"] is None else scene.currency()
    done = {"currency": currency, "locked": scene.values["locked"]}
    if not scene.values["locked"]:
        return Deed(outgoing=venue.operator.unlock_account(currency), done=done)
    told = venue.operator.lock_account(currency)
    return Deed(outgoing=told, done=done, undo=lambda _: venue.operator.unlock_account(currency))


def _lock_positions(scene: Scene) -> Deed:
    platform = scene.venue.platform
    platform.are_positions_locked = scene.values["locked"]

    def release(_: int) -> tuple[Outgoing, ...]:
        platform.are_positions_locked = False
        return ()

    return Deed(done={"locked": scene.values["locked"]}, undo=release)


def _client_ids(scene: Scene) -> tuple[str, ...]:
    return scene.venue.sessions.keys.client_ids


def _key(scene: Scene) -> ApiKey:
    client_id, known = scene.values["client_id"], _client_ids(scene)
    if client_id not in known:
        raise Unfit("client_id", f"{client_id} is none of {', '.join(known)}")
    return scene.venue.sessions.keys.find(client_id)


SESSION_DEEDS: Mapping[str, Doing] = {
    "expire-tokens": _expire_tokens,
    "revoke-key": _revoke_key,
    "narrow-scope": _narrow_scope,
    "block-address": _block_address,
    "lock-account": _lock_account,
    "lock-positions": _lock_positions,
}
