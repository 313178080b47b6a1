"""Anything asked of a living venue is a result or a refusal, and its books add up after it."""

import corpus
import mutation
from any_venue import AnyVenue
from rounds import inputs, rounds, within_bounds

from vigil.paper.refusals import Refusal
from vigil.paper.wire.framing import Request, parse_frame

_STEPS = 150


def test_any_request_is_answered_and_the_books_add_up() -> None:
    for dice in rounds("venue"):
        venue = AnyVenue(dice)
        for _ in range(_STEPS):
            venue.step()
        inputs["venue requests"] += len(venue.told)


def test_any_frame_is_a_request_or_a_refusal() -> None:
    requests = corpus.requests()
    for dice in rounds("parse_frame"):
        frame = dice.choice(requests)
        frame = mutation.torn(dice, frame, requests)
        with within_bounds(len(frame)):
            try:
                request = parse_frame(frame)
            except Refusal:
                continue
        assert isinstance(request, Request)
