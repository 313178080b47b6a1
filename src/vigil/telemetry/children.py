"""What the supervisor tells of its children, as log lines."""

import structlog

from vigil.errors import VigilError
from vigil.supervision.supervisor import ChildEvent, ChildEventKind

log = structlog.get_logger(__name__)


def log_child_event(event: ChildEvent) -> None:
    """One line for one event; a traceback only where the end was a surprise.

    What was foreseen and goes on, such as an exchange that cannot be reached, is told once.
    """
    facts: dict[str, object] = {"child": event.name}
    if event.restarts:
        facts["restarts"] = event.restarts
    if event.reason:
        facts["reason"] = event.reason
    if event.delay_s is not None:
        facts["delay_s"] = round(event.delay_s, 2)
    if event.error is not None and not isinstance(event.error, VigilError):
        facts["exc_info"] = event.error
    match event.kind:
        case ChildEventKind.STARTED | ChildEventKind.STOPPING:
            log.debug(event.kind.value, **facts)
        case ChildEventKind.STOPPED | ChildEventKind.FINISHED:
            log.info(event.kind.value, **facts)
        case ChildEventKind.RESTARTING if event.is_repeated and isinstance(event.error, VigilError):
            log.debug(event.kind.value, **facts)
        case ChildEventKind.RESTARTING:
            log.warning(event.kind.value, **facts)
        case _:
            log.error(event.kind.value, **facts)
