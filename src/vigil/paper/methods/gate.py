"""What stands between a request and its method: login, credits, locks, rights.

Pure. A request that passes is carried out at once or waits for its turn; it is not judged again.
Source: Deribit API v2, RPC error codes, rate limits, access scopes.
"""

from dataclasses import dataclass

from vigil.paper.market.market import Market
from vigil.paper.methods.calls import Call
from vigil.paper.methods.login import require_login
from vigil.paper.platform import Platform
from vigil.paper.refusals import Refusal, refusal_of
from vigil.paper.session.credits import Credits, PoolName, Purse, is_matching, pool_of
from vigil.paper.session.rights import covers, needed_of_method
from vigil.paper.switches import Switches


class OutOfCredits(Refusal):
    """The pool is empty; it costs the caller the session, too."""

    def __init__(self) -> None:
        super().__init__(10028, "too_many_requests")


@dataclass(slots=True, kw_only=True)
class Gate:
    """The judge of every request.

    Args:
        purse: Everybody's credits.
    """

    purse: Purse
    platform: Platform
    switches: Switches

    def admit(self, call: Call, method: str, *, is_known: bool) -> None:
        """Let a request through.

        Raises: OutOfCredits; Refusal.
        """
        is_private = method.startswith("private/")
        unauthorized: Refusal | None = None
        if is_private:
            try:
                require_login(call)
            except Refusal as refusal:
                unauthorized = refusal
        is_logged_in = unauthorized is None and call.session.is_authorized(call.now_ms)
        self._pay(call, method, is_logged_in=is_logged_in)
        if not is_known:
            raise Refusal(-32601, "Method not found")
        if unauthorized is not None:
            raise unauthorized
        if not is_logged_in:
            self.platform.check_public(method)
        if is_private:
            self._check_rights(call, method)
        if is_matching(method):
            market = market_of(call)
            currency = market.listing.currency if market is not None else None
            self.platform.check_order(method, currency)

    def _pay(self, call: Call, method: str, *, is_logged_in: bool) -> None:
        if method == "public/auth" and not self.switches.auth_costs_credits:
            return
        if method == "public/test" and not self.switches.test_costs_credits:
            return
        if not self._payer(call, is_logged_in=is_logged_in).spend(
            self._pool(call, method), call.now_ms
        ):
            raise OutOfCredits

    def _payer(self, call: Call, *, is_logged_in: bool) -> Credits:
        if is_logged_in:
            return self.purse.account
        return self.purse.of_address(call.session.address)

    def _pool(self, call: Call, method: str) -> PoolName:
        over_socket = call.session.connection_id is not None
        return pool_of(
            method,
            is_spot=is_matching(method) and _is_spot(market_of(call)),
            over_socket=over_socket and self.switches.narrow_instruments_pool,
        )

    def _check_rights(self, call: Call, method: str) -> None:
        needed = needed_of_method(method)
        if needed is not None and not covers(call.session.rights, needed):
            raise refusal_of(self.switches.scope_refusal_code)


def market_of(call: Call) -> Market | None:
    """The market that a matching request is about; None when it names none that exists."""
    markets, name = call.exchange.markets, call.params.raw("instrument_name")
    if isinstance(name, str):
        return markets.get(name)
    order_id = call.params.raw("order_id")
    order = call.exchange.books.orders.get(order_id) if isinstance(order_id, str) else None
    return markets.get(order.instrument_name) if order is not None else None


def _is_spot(market: Market | None) -> bool:
    return market is not None and market.listing.instrument.kind.value == "spot"
