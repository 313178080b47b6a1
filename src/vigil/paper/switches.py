"""Readings of the protocol that its documentation leaves open, as switches.

Each defaults to the reading that is more dangerous for a client, so that what passes here passes
on the exchange whichever way it really behaves.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How the venue behaves where the documentation is silent or contradicts itself.

    Args:
        crossed_secondary_vanishes: A linked stop that is already crossed when its primary fills
            disappears without an order record; else it fires at once.
        crossed_trigger_is_refused: A trigger order placed on the wrong side of its reference is
            refused with 11036; else it fires at once.
        covered_refuses_immediate: Market, IOC and FOK reduce-only orders are refused as well when
            resting reduce-only orders cover the position. Off: the refusals that were reported
            concern resting orders, and a person closing by hand does it with protection in place.
        cancelled_oco_closes_other: Cancelling one order of a pair cancels the other too.
        lists_flat_positions: `get_positions` goes on listing an instrument after it is flat.
        events_before_reply: Notifications caused by a request are sent before its reply.
    """

    crossed_secondary_vanishes: bool = True
    crossed_trigger_is_refused: bool = True
    covered_refuses_immediate: bool = False
    cancelled_oco_closes_other: bool = False
    lists_flat_positions: bool = True
    events_before_reply: bool = True
