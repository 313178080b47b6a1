from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from vigil.deribit import asking
from vigil.deribit.asking import Asker
from vigil.deribit.decoding import Page, Unreadable

PAGES = msgspec.json.Decoder(dict[str, Any])


class Paged(Asker):
    """Pages by their continuation; the first is under None."""

    def __init__(self, pages: Mapping[str | None, tuple[list[str], str | None]]) -> None:
        self.pages = pages
        self.asked: list[Mapping[str, Any]] = []

    def exchange_now_ms(self) -> int:
        return 0

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        self.asked.append(params)
        rows, continuation = self.pages[params.get("continuation")]
        return msgspec.Raw(msgspec.json.encode({"rows": rows, "continuation": continuation}))

    async def all(
        self, is_enough: Callable[[tuple[str, ...]], bool] = lambda _: False
    ) -> tuple[str, ...]:
        return await self._all_pages(
            "private/get_things", {"count": 2}, to_page, key=lambda row: row[0], is_enough=is_enough
        )


def to_page(raw: msgspec.Raw) -> Page[str]:
    page = PAGES.decode(raw)
    return Page(tuple(page["rows"]), page["continuation"])


async def test_pages_are_put_together_in_order() -> None:
    paged = Paged({None: (["a", "b"], "x"), "x": (["c"], "y"), "y": (["d"], None)})
    assert await paged.all() == ("a", "b", "c", "d")
    assert paged.asked == [
        {"count": 2},
        {"count": 2, "continuation": "x"},
        {"count": 2, "continuation": "y"},
    ]


async def test_pages_may_overlap_when_they_agree() -> None:
    assert await Paged({None: (["a", "b"], "x"), "x": (["b", "c"], None)}).all() == ("a", "b", "c")


async def test_the_last_page_may_be_empty() -> None:
    assert await Paged({None: (["a"], "x"), "x": ([], None)}).all() == ("a",)
    assert await Paged({None: ([], None)}).all() == ()


async def test_what_is_enough_ends_the_reading() -> None:
    paged = Paged({None: (["a"], "x"), "x": (["b"], "y")})
    assert await paged.all(lambda page: "b" in page) == ("a", "b")


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        pytest.param({None: ([], "x")}, "nothing new", id="an empty page, and there is more"),
        pytest.param(
            {None: (["a"], "x"), "x": (["a"], "y")}, "nothing new", id="the same page again"
        ),
        pytest.param(
            {None: (["a"], "x"), "x": (["b"], "y"), "y": (["c"], "x")},
            "comes again",
            id="a continuation twice",
        ),
        pytest.param(
            {None: (["a"], "x"), "x": (["b"], "x")}, "comes again", id="a continuation that stays"
        ),
        pytest.param({None: (["a1"], "x"), "x": (["a2"], None)}, "two ways", id="contradiction"),
        pytest.param({None: (["a1", "a2"], None)}, "two ways", id="contradiction in one page"),
    ],
)
async def test_pages_that_do_not_add_up_discard_the_whole_reading(
    pages: Mapping[str | None, tuple[list[str], str | None]], reason: str
) -> None:
    with pytest.raises(Unreadable, match=reason):
        await Paged(pages).all()


async def test_pages_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAGES_MAX", 3)
    pages: dict[str | None, tuple[list[str], str | None]] = {None: (["0"], "1")}
    pages |= {str(at): ([chr(ord("a") + at)], str(at + 1)) for at in range(1, 9)}
    paged = Paged(pages)
    with pytest.raises(Unreadable, match="more than 3 pages"):
        await paged.all()
    assert len(paged.asked) == 3
