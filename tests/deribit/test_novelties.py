import structlog

from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.novelties import Novelties


def error(code: int, message: str) -> ErrorReply:
    return ErrorReply(request_id=1, code=code, message=message)


def test_an_error_that_is_not_in_the_table_is_told_once() -> None:
    novelties = Novelties()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            novelties.note_error("private/buy", error(10009, "not_enough_funds"))
            novelties.note_error("private/buy", error(10009, "not_found"))
            novelties.note_error("private/sell", error(4711, "unheard_of"))
    assert [(line["code"], line["message"]) for line in lines] == [
        (10009, "not_found"),
        (4711, "unheard_of"),
    ]


def test_messages_that_differ_every_time_fill_neither_log_nor_memory() -> None:
    novelties = Novelties()
    with structlog.testing.capture_logs() as lines:
        for number in range(3_000):
            novelties.note_error("private/buy", error(4711, f"unheard_of {number}"))
    assert len(lines) == 1_000
