"""Orders acted upon by what they have in common, and what else a session can ask to be done.

Mass cancellations tell which orders they ended, where the exchange can: a count alone does not say
whose. Nothing here raises for what the exchange or the network did to an order; what concerns the
session itself does, as `Reader` tells.
"""

from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import structlog

from vigil.deribit import wire
from vigil.deribit.answers import mass_outcome
from vigil.deribit.asking import Asker
from vigil.deribit.credits import Lane
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.order_form import encode_edit_by_label
from vigil.deribit.outcome import NOT_SENT, MassOutcome, Outcome, Refused, Unknown, Verdict
from vigil.domain.order import OrderType
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)


class MassActions(Asker):
    """Actions over some way to make a call."""

    @abstractmethod
    async def _act(self, method: str, params: Mapping[str, Any], lane: Lane) -> Outcome:
        """Make one call that acts on one order."""

    @abstractmethod
    async def _exchange(
        self, method: str, params: Mapping[str, Any], lane: Lane, *, is_again: bool = False
    ) -> Reply | ErrorReply:
        """Make one call, when login and credit allow it."""

    async def edit_by_label(
        self,
        instrument_name: str,
        label: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        valid_until_ms: int | None = None,
        lane: Lane = Lane.PROTECT,
    ) -> Outcome:
        """Change the one resting order with a label; refused with 13032 when there are several.

        `amount` is its new total, filled part included.
        """
        params = encode_edit_by_label(
            instrument_name,
            label,
            amount=amount,
            price=price,
            trigger_price=trigger_price,
            valid_until_ms=valid_until_ms,
        )
        return await self._act("private/edit_by_label", params, lane)

    async def close_position(
        self, instrument_name: str, *, price: Decimal | None = None
    ) -> Outcome:
        """Close the account's whole net position in an instrument, at market or at a limit.

        The whole: also what other strategies, or people, hold of it. The order has no label.
        """
        params: dict[str, Any] = {
            "instrument_name": instrument_name,
            "type": (OrderType.MARKET if price is None else OrderType.LIMIT).value,
        }
        if price is not None:
            params["price"] = price
        return await self._act("private/close_position", params, Lane.REDUCE)

    async def cancel_all(self) -> MassOutcome:
        """Cancel every order of the account, trigger orders and those of others included.

        Requests that still wait in the exchange's queue are purged by it: they answer 13666.
        """
        return await self._cancel_many("private/cancel_all", {"detailed": True})

    async def cancel_all_in_currency(self, currency: str) -> MassOutcome:
        """Cancel every order of a settlement currency."""
        params = {"currency": currency, "kind": "any", "type": "all", "detailed": True}
        return await self._cancel_many("private/cancel_all_by_currency", params)

    async def cancel_all_in_instrument(self, instrument_name: str) -> MassOutcome:
        """Cancel every order in an instrument."""
        params = {"instrument_name": instrument_name, "type": "all", "detailed": True}
        return await self._cancel_many("private/cancel_all_by_instrument", params)

    async def cancel_by_label(self, label: str, *, currency: str | None = None) -> MassOutcome:
        """Cancel every order with a label. The exchange tells only how many there were."""
        params = {"label": label} | ({} if currency is None else {"currency": currency})
        return await self._cancel_many("private/cancel_by_label", params)

    async def set_cancel_on_disconnect(
        self, *, is_enabled: bool, scope: str = "connection"
    ) -> None:
        """Let orders die with their connection, protective ones too, or outlive it.

        `connection` concerns orders of this one, `account` those of connections opened from now on.
        """
        verb = "enable" if is_enabled else "disable"
        raw = await self._ask(f"private/{verb}_cancel_on_disconnect", {"scope": scope})
        if not wire.is_ok(raw):
            raise wire.Unreadable(f"cancel on disconnect was not {verb}d in so many words")

    async def log_out(self) -> None:
        """End the session at the exchange, with its tokens. Orders stay, whatever was set.

        The exchange closes the socket and answers nothing.
        """
        try:
            await self._ask("private/logout", {"invalidate_token": True})
        except (Transient, OutcomeUnknown) as error:
            _log.info("session.logged_out", reason=str(error))

    async def _cancel_many(self, method: str, params: Mapping[str, Any]) -> MassOutcome:
        try:
            return mass_outcome(await self._exchange(method, params, Lane.REDUCE))
        except Transient as error:
            return Refused(code=NOT_SENT, message=f"not sent: {error}", verdict=Verdict.RETRY_LATER)
        except Rejected as error:
            return Refused(code=NOT_SENT, message=f"not sent: {error}")
        except OutcomeUnknown as error:
            return Unknown(reason=str(error))
