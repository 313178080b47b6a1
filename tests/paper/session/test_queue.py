"""The matching engine's queue: turns, its end, and the purge."""

import pytest

from vigil.paper.refusals import Refusal
from vigil.paper.session.queue import MatchingQueue


@pytest.fixture
def queue():
    queue = MatchingQueue(8)
    queue.processing_ms = 100
    return queue


def test_without_processing_time_nothing_waits():
    assert MatchingQueue(8).enter("BTC", 0) is None


def test_requests_of_one_currency_run_one_after_another(queue):
    assert [queue.enter("BTC", 0).due_ms for _ in range(3)] == [100, 200, 300]
    assert queue.enter("BTC", 250).due_ms == 400
    assert queue.enter("BTC", 1_000).due_ms == 1_100


def test_currencies_do_not_wait_for_each_other(queue):
    queue.enter("BTC", 0)
    assert queue.enter("USDC", 0).due_ms == 100


def test_one_runs_and_eight_wait_and_one_more_is_refused(queue):
    for _ in range(9):
        queue.enter("BTC", 0)
    with pytest.raises(Refusal) as caught:
        queue.enter("BTC", 99)
    assert (caught.value.code, caught.value.message) == (10047, "matching_engine_queue_full")
    assert queue.enter("BTC", 100).due_ms == 1_000


def test_a_purge_takes_out_those_that_wait_and_leaves_the_one_that_runs(queue):
    running, *waiting = [queue.enter("BTC", 0) for _ in range(4)]
    other = queue.enter("USDC", 0)
    assert queue.purge(50) == 3
    assert not running.is_purged
    assert not other.is_purged
    assert all(ticket.is_purged for ticket in waiting)
    assert queue.enter("BTC", 50).due_ms == 200


def test_a_request_behind_a_slow_one_waits_though_processing_became_quick(queue):
    queue.enter("BTC", 0)
    queue.processing_ms = 0
    assert queue.enter("BTC", 50).due_ms == 100
    assert queue.enter("BTC", 150) is None
