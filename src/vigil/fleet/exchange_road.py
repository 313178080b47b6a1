"""Both roads to the exchange, put together: the session with its client, and the second witness.

They belong to one account, so they share its key, its rate-limit credits and its clock.
"""

import random

from msgspec import Struct

from vigil.clock import Clock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import ApiKey
from vigil.deribit.throttle import Throttle
from vigil.fleet.dispatch import Dispatch

# Beyond an order's validity no answer can make it start any more; then it is in doubt.
CALL_TIMEOUT_S = 5.0


class ExchangeRoad(Struct, frozen=True, kw_only=True):
    """The parts by which an account is reached."""

    client: DeribitClient
    link: DeribitLink
    witness: RestWitness


def open_road(
    *,
    websocket_url: str,
    http_url: str,
    key: ApiKey,
    clock: Clock,
    dice: random.Random,
    dispatch: Dispatch,
) -> ExchangeRoad:
    """Everything that is heard goes to `dispatch`. Nothing is sent before the link runs."""
    client = DeribitClient(
        clock,
        call_timeout_s=CALL_TIMEOUT_S,
        throttle=Throttle(clock, on_drained=dispatch.take_drained),
        on_late=dispatch.take_late,
    )
    link = DeribitLink(
        client,
        url=websocket_url,
        key=key,
        clock=clock,
        dice=dice,
        sink=dispatch.take,
        on_unreadable=dispatch.take_unreadable,
        on_trouble=dispatch.take_trouble,
    )
    witness = RestWitness(
        http_url,
        key.client_id,
        key.secret,
        throttle=client.throttle,
        exchange_now_ms=client.exchange_now_ms,
    )
    return ExchangeRoad(client=client, link=link, witness=witness)
