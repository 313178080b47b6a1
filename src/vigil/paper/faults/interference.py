"""What armed faults make of each request, reply and notification.

Pure: `Faults` is told what passes and answers what becomes of it; the server does it. Deeds (faults
of connections and of the venue that a request or a notification sets off) come back with the plan,
for the shell to do.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vigil.paper.faults import payloads
from vigil.paper.faults.arming import (
    AFTER_REQUEST,
    BEFORE_REQUEST,
    ON_NOTIFICATION,
    Armed,
    Arms,
    Subject,
)
from vigil.paper.faults.arrivals import Arrivals
from vigil.paper.faults.entry import Point
from vigil.paper.faults.error_words import odd_error, word_of
from vigil.paper.faults.held import Held
from vigil.paper.refusals import Refusal, order_not_found
from vigil.paper.wire import framing
from vigil.paper.wire.framing import Request

_REMEMBERED_MAX = 1000
# Faults that do nothing to an answer that has nothing of theirs; that counts as no hit.
_CHANGE_ANSWERS = frozenset(
    {"empty-reply", "cut-page", "stale-reply", "mutate-reply", "hide-records"}
)


@dataclass(slots=True, kw_only=True)
class RequestPlan:
    """What becomes of a request.

    Args:
        delay_s: It is carried out that much later.
        times: How often it is carried out.
        refusal: Told in place of the answer.
        deeds: What else happens before.
    """

    is_lost: bool = False
    is_applied: bool = True
    delay_s: float = 0.0
    times: int = 1
    refusal: Refusal | None = None
    deeds: list[Armed] = field(default_factory=list)


ORDINARY = RequestPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPlan:
    """What becomes of a new connection.

    Args:
        refusal: How it is turned away; None lets it in.
        stall_s: How long it waits for either.
    """

    refusal: str | None = None
    stall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A frame for a connection, that much later than now."""

    frame: bytes
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPlan:
    """What is said to a request.

    Args:
        answer: As it was changed; over HTTP it decides the status.
        sendings: What leaves; empty when nothing does.
    """

    answer: Any
    sendings: tuple[Sending, ...]


class Faults:
    """The armed faults of one server.

    Args:
        seed: Of all their dice.
        has_checker: Whether somebody may ask which labels arrived.
    """

    def __init__(self, seed: int = 1, *, has_checker: bool = True) -> None:
        self.arms = Arms(seed)
        self.arrivals = Arrivals(is_kept=has_checker)
        self.now_ms = 0
        self._held = Held()

    # -- arming --------------------------------------------------------------------------------

    def arm(self, fault: str, /, **given: Any) -> Armed:
        """Arm an entry of the menu. Raises: Unfit, which names the field and the fix."""
        return self.arms.arm(fault, given, self.now_ms)

    def disarm(self, number: int) -> Armed:
        """Take back an armed fault. Raises: Unfit."""
        return self.arms.disarm(number)

    def clear(self) -> None:
        """Take back all."""
        self.arms.clear()

    def withhold_replies(self, method: str, count: int = 1) -> None:
        """Carry out the next `count` requests of that method and say nothing to the caller."""
        self.arm("withhold-reply", method=method, count=count)

    def lose_requests(self, method: str, count: int = 1) -> None:
        """Let the next `count` requests of that method vanish before they are carried out."""
        self.arm("lose-request", method=method, count=count)

    def delay_replies(self, method: str, delay_s: float, count: int = 1) -> None:
        """Carry out the next `count` requests of that method at once and answer later."""
        self.arm("delay-reply", method=method, delay_s=delay_s, count=count)

    # -- what passes ---------------------------------------------------------------------------

    def on_accept(self, now_ms: int) -> AcceptPlan | None:
        """What becomes of a connection that comes now; None for nothing special."""
        self.now_ms = now_ms
        refusal, stall_s = None, 0.0
        struck = self.arms.strikes(Point.ACCEPTING, Subject(), now_ms)
        for armed in struck:
            if armed.name == "refuse-connections":
                refusal = armed.values["how"]
            else:
                stall_s += armed.values["stall_s"]
        return AcceptPlan(refusal=refusal, stall_s=stall_s) if struck else None

    def on_request(self, request: Request, connection: int | None, now_ms: int) -> RequestPlan:
        """What becomes of a request that came in now."""
        self.now_ms = now_ms
        self.arrivals.note(request, connection, now_ms)
        if not self.arms.waits_at(Point.REQUEST, BEFORE_REQUEST):
            return ORDINARY
        subject = _subject_of(request, connection)
        plan = RequestPlan(deeds=self.arms.strikes(BEFORE_REQUEST, subject, now_ms))
        for armed in self.arms.strikes(Point.REQUEST, subject, now_ms):
            if not _plan_request(plan, armed, request):
                self.arms.take_back_hit(armed)
        return plan

    def after_request(self, request: Request, connection: int | None, now_ms: int) -> list[Armed]:
        """Deeds between a request that was carried out and its reply."""
        if not self.arms.waits_at(AFTER_REQUEST):
            return []
        return self.arms.strikes(AFTER_REQUEST, _subject_of(request, connection), now_ms)

    def on_reply(
        self,
        request: Request | None,
        connection: int | None,
        answer: Any,
        encode: Callable[[Any], bytes],
        now_ms: int,
    ) -> ReplyPlan:
        """What is said to a request, which is None when it could not be read."""
        if request is None or not self.arms.waits_at(Point.REPLY):
            return ReplyPlan(answer=answer, sendings=(Sending(frame=encode(answer)),))
        struck = self.arms.strikes(Point.REPLY, _subject_of(request, connection), now_ms)
        for armed in struck:
            before, answer = answer, _change_answer(armed, request, answer)
            if answer is before and armed.name in _CHANGE_ANSWERS:
                self.arms.take_back_hit(armed)
        frame, copies, delay_s = encode(answer), 1, 0.0
        for armed in struck:
            match armed.name:
                case "withhold-reply":
                    copies = 0
                case "delay-reply":
                    delay_s += armed.values["delay_s"]
                case "duplicate-reply":
                    copies *= armed.values["copies"]
                case "garble-reply":
                    frame = payloads.garbled(frame, **_shape_of(armed))
                case _:
                    pass
        return ReplyPlan(answer=answer, sendings=(Sending(frame=frame, delay_s=delay_s),) * copies)

    @property
    def watches_notifications(self) -> bool:
        """Whether notifications have to be asked about, one by one."""
        return bool(self._held) or self.arms.waits_at(Point.NOTIFICATION, ON_NOTIFICATION)

    def on_notification(
        self, message: Mapping[str, Any], connection: int, now_ms: int
    ) -> tuple[list[Sending], list[Armed]]:
        """What leaves in place of one notification, and deeds that it sets off."""
        channel = message["params"].get("channel")
        if channel is None:  # heartbeats belong to the session, and faults of channels spare them
            return [Sending(frame=framing.encode(message))], []
        subject = _subject_of_push(message, channel, connection)
        deeds = self.arms.strikes(ON_NOTIFICATION, subject, now_ms)
        sendings = self._sendings(message, subject, now_ms)
        if sendings:
            sendings += [Sending(frame=frame) for frame in self._held.passed(connection, channel)]
        return sendings, deeds

    def overdue(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """Notifications that were held long enough, with their connections."""
        self.now_ms = now_ms
        return self._held.overdue(now_ms)

    def forget(self, connection: int) -> None:
        """A connection is gone, and with it what was held for it."""
        self._held.forget(connection)

    def _sendings(self, message: Mapping[str, Any], subject: Subject, now_ms: int) -> list[Sending]:
        struck = self.arms.strikes(Point.NOTIFICATION, subject, now_ms)
        messages, delay_s, copies, spoiling = [message], 0.0, 1, None
        for armed in struck:
            match armed.name:
                case "drop-notification" | "mute-channel":
                    return []
                case "gap-book":
                    if message["params"]["data"].get("type") == "change":
                        return []
                    self.arms.take_back_hit(armed)
                case "delay-notification":
                    delay_s += armed.values["delay_s"]
                case "duplicate-notification":
                    copies *= armed.values["copies"]
                case "flood":
                    messages = list(payloads.burst(message, armed.values["messages"]))
                case "mutate-notification":
                    told = [_mutated(armed, each) for each in messages]
                    messages = [each for each, _ in told]
                    if not any(is_changed for _, is_changed in told):
                        self.arms.take_back_hit(armed)
                case "garble-notification":
                    spoiling = _shape_of(armed)
                case "reorder-notifications":
                    assert subject.connection is not None
                    assert subject.channel is not None
                    self._held.hold(
                        connection=subject.connection,
                        behind=armed.values["behind"] or subject.channel,
                        frame=framing.encode(message),
                        until_ms=now_ms + round(armed.values["patience_s"] * 1000),
                    )
                    return []
        frames = [framing.encode(each) for each in messages]
        if spoiling is not None:
            frames = [payloads.garbled(frame, **spoiling) for frame in frames]
        return [Sending(frame=frame, delay_s=delay_s) for frame in frames] * copies


def _plan_request(plan: RequestPlan, armed: Armed, request: Request) -> bool:
    """Work one fault into the plan; False when it is not for this request after all."""
    values = armed.values
    match armed.name:
        case "lose-request":
            plan.is_lost = True
        case "delay-request":
            plan.delay_s += values["delay_s"]
        case "duplicate-request":
            plan.times *= values["times"]
        case "error-reply":
            reason = values["reason"]
            plan.refusal = Refusal(
                values["code"],
                values["message"] or word_of(values["code"]),
                None if reason is None else {"reason": reason},
            )
            plan.is_applied = plan.is_applied and values["is_applied"]
        case "odd-error":
            plan.refusal = Refusal(*odd_error(values["oddity"], armed.dice))
            plan.is_applied = plan.is_applied and armed.dice.random() < 0.5
        case "refuse-login":
            if values["grant"] not in ("any", request.params.get("grant_type")):
                return False
            plan.refusal = Refusal(values["code"], word_of(values["code"]))
            plan.is_applied = False
        case _:
            pass
    return True


def _change_answer(armed: Armed, request: Request, answer: Any) -> Any:
    """The answer as the fault would have it; refusals are left alone."""
    if isinstance(answer, Refusal) and armed.name != "empty-reply":
        return answer
    match armed.name:
        case "empty-reply":
            return [] if isinstance(answer, Refusal) else payloads.emptied(answer)
        case "cut-page":
            before, armed.memory[request.method] = armed.memory.get(request.method), answer
            return payloads.cut(answer, how=armed.values["how"], before=before)
        case "stale-reply":
            question = repr((request.method, sorted(request.params.items(), key=repr)))
            if len(armed.memory) < _REMEMBERED_MAX:
                return armed.memory.setdefault(question, answer)
            return armed.memory.get(question, answer)
        case "mutate-reply":
            return payloads.changed(answer, **_change_of(armed))[0]
        case "hide-records":
            seen = payloads.without(answer, lambda row: _is_hidden(armed.values, row))
            return order_not_found() if seen is None else seen
        case _:
            return answer


def _is_hidden(values: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    kind = "trades" if "trade_id" in row else "orders" if "order_state" in row else None
    if kind is None or values["of"] not in (kind, "both"):
        return False
    is_labelled = values["of_label"] in ("*", row.get("label"))
    return is_labelled and values["order_id"] in (None, row.get("order_id"))


def _shape_of(armed: Armed) -> dict[str, Any]:
    return {"shape": armed.values["shape"], "size": armed.values["size"]}


def _change_of(armed: Armed) -> dict[str, Any]:
    values = armed.values
    return {
        "change": values["change"],
        "field": values["field"],
        "word": values["value"],
        "dice": armed.dice,
    }


def _mutated(armed: Armed, message: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The notification as the fault would have it, and whether it is another one."""
    params = message["params"]
    data, is_changed = payloads.changed(params["data"], **_change_of(armed))
    return dict(message) | {"params": params | {"data": data}}, is_changed


def _subject_of(request: Request, connection: int | None) -> Subject:
    params = request.params
    name, label = params.get("instrument_name"), params.get("label")
    return Subject(
        method=request.method,
        instruments=frozenset((name,) if isinstance(name, str) else ()),
        labels=frozenset((label,) if isinstance(label, str) else ()),
        connection=connection,
    )


def _subject_of_push(message: Mapping[str, Any], channel: str, connection: int) -> Subject:
    instruments, labels = set(), set()
    for row in _rows_of(message["params"]["data"]):
        if isinstance(name := row.get("instrument_name"), str):
            instruments.add(name)
        if isinstance(label := row.get("label"), str):
            labels.add(label)
    return Subject(
        channel=channel,
        instruments=frozenset(instruments),
        labels=frozenset(labels),
        connection=connection,
    )


def _rows_of(data: Any) -> Iterator[Mapping[str, Any]]:
    match data:
        case list() | tuple():
            for item in data:
                yield from _rows_of(item)
        case dict():
            yield data
            for name in ("orders", "trades"):
                yield from _rows_of(data.get(name))
