"""What a login may do: scopes as asked for, as granted, and as each method needs them.

Source: Deribit API v2, access scopes, and the scope named with each method.
"""

from collections.abc import Iterable, Mapping

LEVELS = ("none", "read", "read_write")
AREAS = ("account", "trade", "wallet", "block_trade", "block_rfq")

# An area to its level; an area that is absent is `none`.
Rights = Mapping[str, str]

FULL_RIGHTS: Rights = {
    "account": "read_write",
    "trade": "read_write",
    "wallet": "read",
    "block_trade": "read",
    "block_rfq": "read",
}
READER_RIGHTS: Rights = {"account": "read", "trade": "read"}

_FREE = frozenset(
    {
        "private/logout",
        "private/subscribe",
        "private/unsubscribe",
        "private/unsubscribe_all",
    }
)
_ACCOUNT_METHODS: Mapping[str, str] = {
    "private/enable_cancel_on_disconnect": "read_write",
    "private/disable_cancel_on_disconnect": "read_write",
    "private/get_cancel_on_disconnect": "read",
    "private/get_account_summary": "read",
    "private/get_account_summaries": "read",
    "private/get_transaction_log": "read",
    "private/get_user_locks": "read",
    "private/get_subaccounts": "read",
}
_WALLET_METHODS = frozenset(
    {"private/get_deposits", "private/get_transfers", "private/get_withdrawals"}
)
_ACCOUNT_CHANNELS = ("user.portfolio", "user.lock", "user.access_log", "user.liquidation")


def parse_rights(text: str) -> dict[str, str]:
    """The rights among the words of a scope; words that are none are left to others."""
    rights: dict[str, str] = {}
    for word in text.split():
        area, _, level = word.partition(":")
        if area in AREAS and level in LEVELS:
            rights[area] = level
    return rights


def grant(asked: Rights, held: Rights, *, with_unasked: bool) -> dict[str, str]:
    """What is granted of what a key holds: never more than was asked for where it was asked.

    Args:
        with_unasked: Areas that the request is silent about come as the key holds them; else
            they do so only when the request names no area at all.
    """
    keeps_unasked = with_unasked or not asked
    granted: dict[str, str] = {}
    for area in AREAS:
        most = held.get(area, "none")
        wanted = asked.get(area, most if keeps_unasked else "none")
        level = min(wanted, most, key=LEVELS.index)
        if level != "none":
            granted[area] = level
    return granted


def covers(rights: Rights, needed: tuple[str, str]) -> bool:
    """Whether rights reach an area's level."""
    area, level = needed
    return LEVELS.index(rights.get(area, "none")) >= LEVELS.index(level)


def needed_of_method(method: str) -> tuple[str, str] | None:
    """The area and level that a private method needs; None when any login will do."""
    if method in _FREE:
        return None
    if method in _ACCOUNT_METHODS:
        return "account", _ACCOUNT_METHODS[method]
    if method in _WALLET_METHODS:
        return "wallet", "read"
    return "trade", "read" if method.startswith("private/get_") else "read_write"


def needed_of_channel(family: str) -> tuple[str, str] | None:
    """The area and level that a channel's family needs; None for public ones."""
    if not family.startswith("user."):
        return None
    return "account" if family.startswith(_ACCOUNT_CHANNELS) else "trade", "read"


def scope_text(lasting: str, rights: Rights, extra: Iterable[str] = ()) -> str:
    """A granted scope in the exchange's words; the account is a main one."""
    words = (f"{area}:{level}" for area, level in rights.items())
    return " ".join((*words, lasting, *extra, "mainaccount"))
