"""How questions are put, and how long answers are gathered from their pages.

An answer that is partial or does not add up raises; it is never passed on as if it were all there
is. A page says what it has and where the next begins. A page that is empty though there is more, a
continuation given twice, one record told in two ways: each means that the whole is not known.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from vigil.deribit.decoding import Continuation, Page, Unreadable
from vigil.deribit.novelties import Novelties

PAGES_MAX = 1_000

_Row = TypeVar("_Row")


class Asker(ABC):
    """Some way to make a call.

    Every question raises Transient (not asked, or not now), OutcomeUnknown (no answer, or one that
    we do not understand: `wire.Unreadable`) or Rejected (a definite no, with its code).
    """

    @abstractmethod
    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        """Make one call and return its result, not yet decoded."""

    @abstractmethod
    def exchange_now_ms(self) -> int:
        """The best guess at exchange time."""

    @cached_property
    def novelties(self) -> Novelties:
        """The strange words that came in answers, told once each."""
        return Novelties()

    async def _all_pages(
        self,
        method: str,
        params: Mapping[str, Any],
        read: Callable[[msgspec.Raw], Page[_Row]],
        *,
        key: Callable[[_Row], object],
        is_enough: Callable[[tuple[_Row, ...]], bool] = lambda _: False,
    ) -> tuple[_Row, ...]:
        """Every row of an answer that comes in pages, in the exchange's order.

        Rows of one `key` must say the same wherever they appear; they count once. `is_enough` may
        end the reading after a page beyond which nothing can be of interest.
        """
        found: dict[object, _Row] = {}
        seen: set[Continuation] = set()
        continuation: Continuation = None
        for _ in range(PAGES_MAX):
            asked = params if continuation is None else {**params, "continuation": continuation}
            page = read(await self._ask(method, asked))
            known = len(found)
            for row in page.rows:
                if found.setdefault(key(row), row) != row:
                    raise Unreadable(f"{method}: {key(row)!r} is told in two ways")
            if page.continuation is None or (page.rows and is_enough(page.rows)):
                return tuple(found.values())
            if len(found) == known:
                raise Unreadable(f"{method}: a page brings nothing new, and there is more")
            if page.continuation in seen:
                raise Unreadable(f"{method}: the continuation {page.continuation!r} comes again")
            seen.add(page.continuation)
            continuation = page.continuation
        raise Unreadable(f"{method}: more than {PAGES_MAX} pages")
