"""A file for one environment never acts on another, and live money wants two yeses."""

from vigil.errors import Misconfigured
from vigil.fleet.desired import DesiredState


def check_environment(desired: DesiredState, environment: str) -> None:
    """Compare what the operator's file says with where the exchange's address leads.

    Args:
        environment: `paper`, `testnet` or `live`, by the address.

    Raises: Misconfigured, naming the field and the fix.
    """
    path = desired.source.path
    if desired.environment is not None and desired.environment != environment:
        raise Misconfigured(
            f"{path}: environment is {desired.environment}, but VIGIL_DERIBIT_WS_URL "
            f"leads to {environment}; make them agree"
        )
    if environment != "live":
        return
    if desired.environment is None:
        raise Misconfigured(
            f'{path}: environment is missing; write "environment": "live" to trade with real money'
        )
    if not desired.is_disclaimer_accepted:
        raise Misconfigured(
            f'{path}: disclaimerAccepted is not true; write "disclaimerAccepted": true to '
            "trade with real money"
        )
