"""The matching engine's queue: requests of one currency run one after another.

Only worth its while when a request takes time; with no processing time nothing ever waits.
Source: Deribit API v2, order management: at most eight requests wait, `cancel_all` purges them.
"""

from dataclasses import dataclass

from vigil.paper.refusals import Refusal


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A place in the queue.

    Args:
        start_ms: When its turn comes.
        due_ms: When it is carried out, and answered.
        is_purged: A `cancel_all` took it out.
    """

    start_ms: int
    due_ms: int
    is_purged: bool = False


class MatchingQueue:
    """Who waits, by currency.

    Args:
        length: Requests that may wait; one more is refused.
    """

    def __init__(self, length: int) -> None:
        self.processing_ms = 0
        self._length = length
        self._tickets: dict[str, list[Ticket]] = {}

    def enter(self, currency: str, now_ms: int) -> Ticket | None:
        """Take a place; None when the request can be carried out at once.

        Raises: Refusal 10047, when too many wait already.
        """
        tickets = self._unfinished(currency, now_ms)
        if not self.processing_ms and not tickets:
            return None
        if sum(ticket.start_ms > now_ms for ticket in tickets) >= self._length:
            raise Refusal(10047, "matching_engine_queue_full")
        start_ms = max((ticket.due_ms for ticket in tickets), default=now_ms)
        ticket = Ticket(start_ms=start_ms, due_ms=start_ms + self.processing_ms)
        self._tickets.setdefault(currency, []).append(ticket)
        return ticket

    def purge(self, now_ms: int) -> int:
        """Take out all that wait for their turn. Returns: how many."""
        count = 0
        for currency in tuple(self._tickets):
            tickets = self._unfinished(currency, now_ms)
            for ticket in tickets:
                if ticket.start_ms > now_ms:
                    ticket.is_purged = True
                    count += 1
            self._tickets[currency] = [t for t in tickets if not t.is_purged]
        return count

    def _unfinished(self, currency: str, now_ms: int) -> list[Ticket]:
        tickets = [t for t in self._tickets.get(currency, ()) if t.due_ms > now_ms]
        if tickets:
            self._tickets[currency] = tickets
        else:
            self._tickets.pop(currency, None)
        return tickets
