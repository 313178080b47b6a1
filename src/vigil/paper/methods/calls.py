"""What a method gets to work with, and how it asks for things beyond its result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vigil.paper.exchange import Exchange
from vigil.paper.market.instruments import CURRENCIES
from vigil.paper.market.market import Market
from vigil.paper.notify.publishing import Publisher
from vigil.paper.refusals import invalid_param, must_be_websocket
from vigil.paper.session.sessions import Session, Sessions
from vigil.paper.wire.params import Params


@dataclass(slots=True, kw_only=True)
class Call:
    """One call in progress.

    Args:
        new_channels: Channels subscribed by the call; their first messages follow its reply.
        hangs_up: The connection ends after the call, without a reply.
    """

    exchange: Exchange
    sessions: Sessions
    publisher: Publisher
    session: Session
    params: Params
    now_ms: int
    new_channels: list[str] = field(default_factory=list)
    hangs_up: bool = False

    def connection_id(self) -> int:
        """The connection that the call came through. Raises: Refusal 10030, over HTTP."""
        if self.session.connection_id is None:
            raise must_be_websocket()
        return self.session.connection_id

    def market(self) -> Market:
        """The market that `instrument_name` names. Raises: Refusal -32602."""
        name = self.params.text("instrument_name")
        market = self.exchange.markets.get(name)
        if market is None:
            raise invalid_param("instrument_name", "instrument not found")
        return market

    def currency(self, *allowed: str, default: str | None = None) -> str:
        """The currency asked for. Raises: Refusal -32602, unless there is such a one."""
        value = self.params.text("currency", default)
        if value.upper() in CURRENCIES or value.upper() in self.exchange.books.cash:
            return value.upper()
        if value in allowed:
            return value
        raise invalid_param("currency", "invalid currency")


Method = Callable[[Call], Any]
Methods = Mapping[str, Method]
