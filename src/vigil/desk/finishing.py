"""Acts that are carried to their end, though whoever wanted them is told to stop meanwhile."""

import asyncio
from collections.abc import Coroutine

import structlog

from vigil.deribit.outcome import Outcome

log = structlog.get_logger(__name__)

# How long a caller that is cancelled is kept. A child has five seconds in which to end.
FINISH_S = 4.0


async def to_the_end(act: Coroutine[object, object, Outcome]) -> Outcome:
    """Carry out what must not stop half way, also when its caller is cancelled meanwhile.

    The caller then waits for it, within `FINISH_S`. What is not whole by then is left as it is.
    What breaks meanwhile is logged: the caller is told of its own cancellation alone.
    """
    task = asyncio.get_running_loop().create_task(act)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_tell_of_error)
        try:
            await asyncio.wait({task}, timeout=FINISH_S)
        finally:
            task.cancel()
        raise


def _tell_of_error(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("act.broken", exc_info=error)
