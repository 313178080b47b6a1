"""What is bent: everything that the paper exchange says in a busy while, and recorded payloads.

Both are gathered afresh, so that a method or channel of tomorrow is in it without a word here.
"""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

from any_venue import CHANNELS, AnyVenue

from vigil.paper.venue import METHODS

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "deribit" / "recorded"

_FAMILIES = [re.split(r"\.[ikxc](?:\.|$)", channel)[0] for channel in CHANNELS]
_VENUES = 4
_STEPS = 250
_PER_KIND = 6


@cache
def frames() -> list[bytes]:
    """Whole messages: replies, errors, notifications; a few of each kind."""
    kinds: dict[str, list[bytes]] = {}
    for number in range(_VENUES):
        venue = AnyVenue(random.Random(f"corpus:{number}"))
        for step in range(_STEPS):
            if step % 25 == 0:
                venue.subscribe_to_all()
            venue.step()
        for message in venue.told:
            some = kinds.setdefault(_kind_of(message), [])
            if len(some) < _PER_KIND:
                some.append(json.dumps(message).encode())
    return [frame for some in kinds.values() for frame in some] + _recorded_frames()


@cache
def payloads() -> list[bytes]:
    """Results and data of notifications, each by itself."""
    found = []
    for frame in frames():
        message = json.loads(frame)
        found.append(message.get("result", message.get("params", {}).get("data")))
    return [json.dumps(payload).encode() for payload in found if payload not in (None, [], {})]


@cache
def notifications() -> list[tuple[str, bytes]]:
    """Channels and what was said on them."""
    messages = [json.loads(frame) for frame in frames()]
    return [
        (message["params"]["channel"], json.dumps(message["params"]["data"]).encode())
        for message in messages
        if message.get("method") == "subscription"
    ]


@cache
def requests() -> list[bytes]:
    """Requests of every method, with parameters as they should be."""
    venue = AnyVenue(random.Random("requests"))
    for _ in range(_STEPS):
        venue.step()
    return [
        json.dumps(
            {"jsonrpc": "2.0", "id": 5, "method": method, "params": venue.params(method)},
            default=float,
        ).encode()
        for method in METHODS
        for _ in range(3)
    ]


def _kind_of(message: dict[str, Any]) -> str:
    if "params" in message:
        channel = message["params"].get("channel", "heartbeat")
        family = next((f for f in _FAMILIES if channel.startswith(f)), channel)
        return f"{family} {channel.count('.')} {_shape_of(message['params'].get('data'))[:3]}"
    if "error" in message:
        return f"error {message['error']['code']}"
    return _shape_of(message["result"])


def _shape_of(value: Any) -> str:
    """The fields of an object, or of the first that there is in a list."""
    if isinstance(value, list):
        return f"[{_shape_of(value[0])}]" if value else "[]"
    if isinstance(value, dict):
        return ",".join(f"{k}:{_shape_of(v)}" for k, v in sorted(value.items()))
    return "number" if isinstance(value, int | float) else type(value).__name__


def _recorded_frames() -> list[bytes]:
    """Nothing where the recordings are not at hand."""
    found = []
    for path in sorted(RECORDED.glob("*/*.json*")) if RECORDED.is_dir() else ():
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for line in lines:
            message = json.loads(line)
            if not isinstance(message, dict) or "jsonrpc" not in message:
                message = {"jsonrpc": "2.0", "id": 1, "result": message}
            found.append(json.dumps(message).encode())
    return found


def methods() -> list[str]:
    """Every method there is, and none."""
    return [*METHODS, "public/nothing", "private/nothing"]
