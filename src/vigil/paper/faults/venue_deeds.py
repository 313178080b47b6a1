"""The menu's deeds of the venue, by name."""

from collections.abc import Mapping

from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.faults.market_deeds import MARKET_DEEDS
from vigil.paper.faults.money_deeds import MONEY_DEEDS
from vigil.paper.faults.order_deeds import ORDER_DEEDS
from vigil.paper.faults.platform_deeds import PLATFORM_DEEDS
from vigil.paper.faults.session_deeds import SESSION_DEEDS
from vigil.paper.refusals import Refusal

DEEDS: Mapping[str, Doing] = {
    **PLATFORM_DEEDS,
    **SESSION_DEEDS,
    **ORDER_DEEDS,
    **MONEY_DEEDS,
    **MARKET_DEEDS,
}


def perform(name: str, scene: Scene) -> Deed:
    """Do it. Raises: Unfit, when there is nothing that it could be done to."""
    try:
        return DEEDS[name](scene)
    except Refusal as refusal:
        raise Unfit("fault", f"the exchange refuses it: {refusal}") from refusal
