"""The faults that an exchange session has to survive, and what must hold while it does.

A test that injects one carries `@pytest.mark.fault("E1")`, with every row that it proves.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One fault.

    Args:
        fault: What goes wrong.
        promise: What holds all the same.
    """

    fault: str
    promise: str


ROWS = {
    "N1": Row(
        "the connection is half open: bytes go nowhere and nobody says so",
        "found within 15 s by missing application frames; no order goes to a link that is silent",
    ),
    "N2": Row(
        "the connection is reset in the middle of a frame",
        "the part is dropped; every call that waited ends in doubt",
    ),
    "N3": Row(
        "bytes drip in one at a time",
        "liveness counts whole messages; handshake and messages have deadlines",
    ),
    "N4": Row(
        "a request is carried out after its sender gave up",
        "`valid_until` bounds it, and nothing is sent again before that has passed",
    ),
    "N5": Row(
        "an old connection still speaks when the new one is up",
        "nothing of an older epoch reaches anybody; fills count once",
    ),
    "N6": Row(
        "the reply is lost and the notification comes, or the reverse",
        "either one settles the order, once",
    ),
    "N7": Row("bytes pass in one direction only", "found as a half-open connection is"),
    "N8": Row(
        "the exchange's name does not resolve, or slowly",
        "growing, jittered delays; the loop is never held; told once",
    ),
    "N9": Row(
        "the certificate is expired, for another name, or of an unknown authority",
        "no connection, a clear reason, no way to switch verification off",
    ),
    "N10": Row("the TLS handshake stalls", "given up after 10 s"),
    "N11": Row(
        "after an outage, connecting fails again and again",
        "one attempt at a time, with growing jittered delays",
    ),
    "N12": Row(
        "the exchange closes with 1000, 1001, 1006 or 1011, or restarts",
        "subscribed again, reconciled, then trading: the same road for all of them",
    ),
    "N13": Row(
        "frames are oversized, deeply nested, not UTF-8, or cut short",
        "counted, dropped and asked for again; never a crash, never taken as empty",
    ),
    "N14": Row(
        "a message of the order book is missing",
        "the book is withdrawn until a new snapshot has come",
    ),
    "N15": Row(
        "one channel falls silent while the heartbeat goes on",
        "found by that channel's age; nothing is opened on stale data",
    ),
    "N16": Row(
        "notifications come faster than they are read",
        "quotes are conflated, order events never dropped, memory stays flat",
    ),
    "E1": Row("the order is taken, its acknowledgement lost", "in doubt, then found by its label"),
    "E2": Row(
        "the order is lost on its way",
        "absent only after full proof; no second order before it",
    ),
    "E3": Row("replies and notifications come twice", "each fill counts once"),
    "E4": Row(
        "a fill comes before its order, or an older state after a newer",
        "states only move forward; fills wait for nothing",
    ),
    "E5": Row(
        "credits run out and the session is ended",
        "restarted slowly; protective stops still rest",
    ),
    "E6": Row(
        "maintenance, or a lock of the platform or of one index",
        "nothing is opened there, no storm of retries; trading returns after a reconciliation",
    ),
    "E7": Row(
        "settlement in progress, retry, queue full, temporarily unavailable, timed out",
        "entries are in doubt unless proven refused; reductions are retried within a budget",
    ),
    "E8": Row(
        "an entry fills in part, the line drops, and the rest is cancelled by it",
        "the stop is resized to what filled",
    ),
    "E9": Row(
        "cancel-on-disconnect takes the protective stop",
        "protected again as soon as the exchange can be reached",
    ),
    "E10": Row(
        "logging out leaves entries resting",
        "a stop cancels entries itself, and sees them gone before it leaves",
    ),
    "E12": Row(
        "somebody else trades or moves a position on the account",
        "told as foreign; it is never taken for the end of a trade of ours",
    ),
    "E19": Row(
        "an order is in neither the recent store nor the archive for a while",
        "not found is not absent before the proof is complete",
    ),
    "E20": Row("an error or a timeout is answered as an empty list", "no trade is closed by it"),
    "E21": Row(
        "a page is partial, its continuation repeated or missing",
        "the whole reading is thrown away",
    ),
    "E22": Row("two orders carry one label", "seen, reported, and the worst case assumed"),
    "E24": Row(
        "a reduce-only order is refused or cut down, the position being flat already",
        "that is what it was for: no failure, and no position the other way",
    ),
    "E25": Row(
        "a stop triggers and does not fill",
        "seen, told, and closed at market",
    ),
    "E26": Row(
        "the stop fires while the position is being closed",
        "the position never changes sides, and every fill counts once",
    ),
    "E27": Row(
        "a cancel races a fill, or its acknowledgement is lost",
        "the fill wins, and cancels do not multiply",
    ),
    "E28": Row("nobody knows whether an edit took effect", "the worse of both counts; it is read"),
    "E29": Row(
        "the login expires, or renewing it fails, in mid-flight",
        "renewed before that; no call is lost",
    ),
    "E30": Row(
        "the key is revoked, or its rights are cut",
        "nothing is opened, people are told, log-in is retried slowly; stops remain",
    ),
    "E31": Row("the account or a position is locked", "nothing is opened, and it is visible"),
    "E32": Row("funds do not suffice", "a definite refusal, followed by rest and not by repeats"),
    "E33": Row(
        "the exchange's clock or ours is wrong, or steps",
        "the offset is measured, deadlines keep to exchange time, more than 500 ms is told",
    ),
    "E34": Row(
        "unknown words, new, missing or null fields",
        "read as far as they can be; what is missing and needed is unknown, and no crash",
    ),
    "E35": Row(
        "an error code is new, or contradicts its message",
        "ambiguous, and logged once",
    ),
    "E37": Row(
        "the exchange's history goes back: wiped or rolled back",
        "seen; entries stop, and no trade is closed by it",
    ),
}
