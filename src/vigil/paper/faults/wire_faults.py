"""The menu's faults of requests, replies, notifications and connections.

Source: the fault matrix's network rows, and its exchange rows about what is said and not done.
"""

from functools import partial

from vigil.paper.faults.entry import Fault, Point, choice, flag, seconds, text, whole

_ORDERS = "private/buy,private/sell,private/edit*"
_LISTS = "private/get_*"
_SHAPES = ("truncated", "not-json", "invalid-utf8", "deep-nesting", "oversize")
_CHANGES = ("unknown-enum", "new-field", "missing-field", "null-field")

_GARBLING = (
    choice("shape", "how it is spoilt", *_SHAPES, default="truncated"),
    whole(
        "size", "bytes of an oversize one, levels of a nested one", 2_000_000, least=1, most=10**8
    ),
)
_CHANGING = (
    choice("change", "what is different", *_CHANGES),
    text("field", "name of the field, at any depth; left out, one that fits, by dice", None),
    text("value", "the unknown word, or the new field's value", "a_word_of_tomorrow"),
)
_LASTING = seconds("lasts_s", "how long; left out, for good", None)

_requests = partial(Fault, point=Point.REQUEST, group="requests")
_replies = partial(Fault, point=Point.REPLY, group="replies")
_notifications = partial(Fault, point=Point.NOTIFICATION, group="notifications")
_connections = partial(Fault, point=Point.CONNECTION, group="connections")

REQUEST_FAULTS = (
    _requests(
        name="lose-request",
        rows=("E2", "E28", "N6"),
        summary="the request vanishes before it is carried out; nobody answers",
    ),
    _requests(
        name="delay-request",
        rows=("N4",),
        summary="it is carried out later, even if its sender is gone; valid_until is judged then",
        params=(seconds("delay_s", "how much later"),),
    ),
    _requests(
        name="duplicate-request",
        rows=("E22", "E3"),
        summary="it is carried out more than once and answered once: two orders, one label",
        method=_ORDERS,
        params=(whole("times", "how often it is carried out", 2, least=2, most=100),),
    ),
    _requests(
        name="error-reply",
        rows=("E1", "E7", "E24", "E27", "E28", "E30", "E32", "E35"),
        summary="an error in place of the answer, the request carried out all the same or not",
        params=(
            whole("code", "the error's code", least=-40_000, most=99_999),
            text("message", "its word; left out, the one that goes with the code", None),
            text("reason", "data.reason", None),
            flag("is_applied", "whether the request is carried out", default=False),
        ),
    ),
    _requests(
        name="odd-error",
        rows=("E35",),
        summary="a code never seen, or with another one's word; carried out or not, by dice",
        params=(choice("oddity", "which", "new", "contradictory", "either", default="either"),),
    ),
    _requests(
        name="refuse-login",
        rows=("E29", "E30"),
        summary="logging in, or refreshing a login, is refused",
        method="public/auth",
        params=(
            choice(
                "grant",
                "which kind of login",
                "any",
                "client_credentials",
                "client_signature",
                "refresh_token",
                default="any",
            ),
            whole(
                "code", "13004 credentials, 13009 token, 11094 unknown", 13004, least=1, most=99_999
            ),
        ),
    ),
)

REPLY_FAULTS = (
    _replies(
        name="withhold-reply",
        rows=("E1", "N6", "E27", "E28"),
        summary="the request is carried out and never answered",
    ),
    _replies(
        name="delay-reply",
        rows=("E4", "N6"),
        summary="the request is carried out at once and answered later, after its notifications",
        params=(seconds("delay_s", "how much later"),),
    ),
    _replies(
        name="duplicate-reply",
        rows=("E3",),
        summary="the same answer comes more than once",
        params=(whole("copies", "how often it comes", 2, least=2, most=1000),),
    ),
    _replies(
        name="garble-reply",
        rows=("N13",),
        summary="the answer is cut, no JSON, no UTF-8, nested too deeply or too large",
        params=_GARBLING,
    ),
    _replies(
        name="empty-reply",
        rows=("E20",),
        summary="a list that could not be read is answered as an empty one",
        method=_LISTS,
    ),
    _replies(
        name="cut-page",
        rows=("E21",),
        summary="a page lacks rows and claims to be whole, comes again, or lost its continuation",
        method=_LISTS,
        params=(
            choice("how", "which", "truncated", "repeated", "no-continuation", default="truncated"),
        ),
    ),
    _replies(
        name="stale-reply",
        rows=("E4", "E20"),
        summary="the first answer to the same question is given again, whatever happened since",
        method=_LISTS,
        is_lasting=True,
    ),
    _replies(
        name="mutate-reply",
        rows=("E34",),
        summary="a field of the answer is new, missing, null, or has a word nobody knows",
        params=_CHANGING,
    ),
    _replies(
        name="hide-records",
        rows=("E19",),
        summary="orders and trades are in neither the recent nor the historical view for a while",
        method="private/get_*order*,private/get_*trade*",
        params=(
            choice("of", "which records", "orders", "trades", "both", default="both"),
            text("of_label", "only those with this label; * for all", "*"),
            text("order_id", "only those of this order", None),
        ),
        is_lasting=True,
    ),
)

NOTIFICATION_FAULTS = (
    _notifications(
        name="drop-notification",
        rows=("N6",),
        summary="one notification is never sent",
    ),
    _notifications(
        name="mute-channel",
        rows=("N15",),
        summary="a channel falls silent while heartbeats go on",
        is_lasting=True,
    ),
    _notifications(
        name="delay-notification",
        rows=("N6", "E4"),
        summary="a notification comes later; later ones overtake it",
        params=(seconds("delay_s", "how much later"),),
    ),
    _notifications(
        name="duplicate-notification",
        rows=("E3",),
        summary="the same notification comes more than once",
        params=(whole("copies", "how often it comes", 2, least=2, most=1000),),
    ),
    _notifications(
        name="reorder-notifications",
        rows=("E4",),
        summary="one is held until another passed: trade before order, older state after newer",
        channel="user.orders.*",
        params=(
            text("behind", "globs of the channel to let pass; left out, its own", None),
            seconds("patience_s", "sent anyway after that long", 5.0),
        ),
    ),
    _notifications(
        name="gap-book",
        rows=("N14",),
        summary="one change of an order book is never sent, so that the chain of ids breaks",
        channel="book.*",
    ),
    _notifications(
        name="garble-notification",
        rows=("N13",),
        summary="a notification is cut, no JSON, no UTF-8, nested too deeply or too large",
        params=_GARBLING,
    ),
    _notifications(
        name="mutate-notification",
        rows=("E34",),
        summary="a field of a notification is new, missing, null, or has a word nobody knows",
        params=_CHANGING,
    ),
    _notifications(
        name="flood",
        rows=("N16",),
        summary="a burst: one notification becomes many, a millisecond apart",
        channel="ticker.*,quote.*,trades.*,user.*",
        params=(whole("messages", "how many", 10_000, least=2, most=10**6),),
    ),
)

CONNECTION_FAULTS = (
    _connections(
        name="reset-connection",
        rows=("N2",),
        summary="RST, in the middle of a frame if one is under way",
        params=(flag("in_mid_frame", "send the first half of a frame before", default=True),),
    ),
    _connections(
        name="abort-connection",
        rows=("N12", "E8"),
        summary="the line ends without a close frame (1006 to the client)",
    ),
    _connections(
        name="close-connection",
        rows=("N12",),
        summary="the server closes, as it does when it restarts",
        params=(
            whole("code", "1000, 1001, 1011, 4000, ...", 1001, least=1000, most=4999),
            text("reason", "the close frame's text", ""),
        ),
    ),
    _connections(
        name="freeze-connection",
        rows=("N1", "N5"),
        summary="half open: nothing is read and nothing is written, pings included",
        params=(
            _LASTING,
            choice(
                "then",
                "when it is over: what was held passes at last, or the line is cut",
                "resume",
                "abort",
                default="resume",
            ),
        ),
    ),
    _connections(
        name="lose-one-way",
        rows=("N7",),
        summary="bytes of one direction are lost",
        params=(
            choice("direction", "which, from the client's side", "in", "out"),
            _LASTING,
        ),
    ),
    _connections(
        name="drip-connection",
        rows=("N3",),
        summary="everything is sent in drips, one byte a second",
        params=(
            whole("drip_bytes", "how many at a time", 1, least=1, most=65_536),
            seconds("every_s", "how often", 1.0),
            _LASTING,
        ),
    ),
    _connections(
        name="lag-connection",
        rows=("N5",),
        summary="all it is sent comes late and in order; when its client went on, from the past",
        params=(seconds("delay_s", "how late"), _LASTING),
    ),
    _connections(
        name="logout-connection",
        rows=("E10",),
        summary="it ends as after a logout: cancel-on-disconnect does not fire, entries rest",
    ),
    _connections(
        name="refuse-connections",
        rows=("N11",),
        summary="the next connections are refused",
        point=Point.ACCEPTING,
        params=(
            choice(
                "how",
                "by status, by a reset, or by a close at once",
                "503",
                "429",
                "reset",
                "close",
                default="503",
            ),
        ),
    ),
    _connections(
        name="stall-handshake",
        rows=("N10",),
        summary="a connection is taken and its handshake not answered",
        point=Point.ACCEPTING,
        params=(seconds("stall_s", "how long", 60.0),),
    ),
)

WIRE_FAULTS = REQUEST_FAULTS + REPLY_FAULTS + NOTIFICATION_FAULTS + CONNECTION_FAULTS
