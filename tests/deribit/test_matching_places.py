"""Places in the matching engine's queue: who gets one, who waits, and that none is ever lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit import matching_places
from vigil.deribit.credits import Lane
from vigil.deribit.matching_places import MatchingPlaces
from vigil.errors import Transient

ENTRIES, PROTECTIONS = 5, 7


def filled(lane):
    places = MatchingPlaces()
    count = 0
    while count < 50 and places.try_enter(lane):
        count += 1
    return places, count


@pytest.mark.parametrize(
    ("lane", "count"), [(Lane.ENTRY, ENTRIES), (Lane.PROTECT, PROTECTIONS), (Lane.REDUCE, 50)]
)
def test_so_many_of_a_lane_are_on_the_way_at_once(lane, count):
    assert filled(lane)[1] == count


def test_where_entries_find_no_place_protection_and_closing_do():
    places, _ = filled(Lane.ENTRY)
    assert places.try_enter(Lane.PROTECT)
    assert places.try_enter(Lane.PROTECT)
    assert not places.try_enter(Lane.PROTECT)
    assert places.try_enter(Lane.REDUCE)


async def waiting(places, lane, done, within_s=60.0):
    task = asyncio.ensure_future(places.enter(lane, within_s=within_s))
    task.add_done_callback(lambda one: None if one.cancelled() else done.append(lane))
    await asyncio.sleep(0)
    return task


async def test_the_higher_lane_goes_first_and_then_who_came_first():
    places, _ = filled(Lane.PROTECT)
    done = []
    tasks = [await waiting(places, lane, done) for lane in (Lane.ENTRY, Lane.PROTECT)]
    assert not places.try_enter(Lane.ENTRY)
    places.leave()
    await tasks[1]
    assert done == [Lane.PROTECT]
    for _ in range(PROTECTIONS - ENTRIES + 1):
        places.leave()
    await tasks[0]
    assert done == [Lane.PROTECT, Lane.ENTRY]


async def test_nobody_overtakes_those_who_wait_before_him():
    places, _ = filled(Lane.PROTECT)
    first = await waiting(places, Lane.PROTECT, [])
    places._taken -= 1  # one left, and nobody was called yet
    assert not places.try_enter(Lane.PROTECT)
    assert places.try_enter(Lane.REDUCE)
    first.cancel()


async def test_so_many_may_wait_and_no_more(monkeypatch):
    monkeypatch.setattr(matching_places, "_WAITING_MAX", 2)
    places, _ = filled(Lane.ENTRY)
    tasks = [await waiting(places, Lane.ENTRY, []) for _ in range(2)]
    with pytest.raises(Transient, match="2 calls wait"):
        await places.enter(Lane.ENTRY, within_s=60.0)
    for task in tasks:
        task.cancel()


async def test_nobody_waits_for_ever_and_whoever_gives_up_leaves_no_trace():
    places, _ = filled(Lane.ENTRY)
    with pytest.raises(Transient, match="5 calls"):
        await places.enter(Lane.ENTRY, within_s=0.01)
    places.leave()
    assert places.try_enter(Lane.ENTRY)


async def test_a_place_that_came_to_somebody_who_was_cancelled_goes_to_the_next():
    places, _ = filled(Lane.ENTRY)
    done = []
    first, second = [await waiting(places, Lane.ENTRY, done) for _ in range(2)]
    places.leave()
    first.cancel()
    await second
    assert done == [Lane.ENTRY]
    assert first.cancelled()


@given(st.lists(st.tuples(st.sampled_from(list(Lane)[:3]), st.sampled_from("efc")), max_size=60))
def test_whatever_comes_and_goes_no_place_is_lost(story):
    """Somebody enters, somebody is done, somebody waiting is cancelled."""

    async def play():
        places, tasks, held = MatchingPlaces(), [], 0
        for lane, what in story:
            if what == "e":
                if places.try_enter(lane):
                    held += 1
                else:
                    tasks.append(await waiting(places, lane, []))
            elif what == "f" and held:
                places.leave()
                held -= 1
            elif what == "c" and tasks:
                tasks.pop().cancel()
            if what == "f":
                await asyncio.sleep(0)
            held += sum(task.done() and not task.cancelled() for task in tasks)
            tasks = [task for task in tasks if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            held += task.done() and not task.cancelled()
        for _ in range(held):
            places.leave()
        assert places._taken == 0
        assert filled_again(places) == ENTRIES

    asyncio.run(play())


def filled_again(places):
    count = 0
    while places.try_enter(Lane.ENTRY):
        count += 1
    return count
