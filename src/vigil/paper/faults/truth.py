"""Ground truth for checkers: what the exchange knows, past every fault of telling it. Pure."""

from typing import Any

from vigil.paper.account.margin import figures
from vigil.paper.faults.arrivals import Arrivals
from vigil.paper.session.sessions import Sessions
from vigil.paper.venue import Venue
from vigil.paper.wire import render


def truth(venue: Venue, arrivals: Arrivals, now_ms: int) -> dict[str, Any]:
    """Everything that a checker may hold a client's beliefs against.

    Orders and trades are rendered as on the wire; `labels` are those that arrived, in order.
    """
    exchange = venue.exchange
    books = exchange.books
    return {
        "now_ms": now_ms,
        "positions": {
            name: position.size for name, position in books.positions.items() if position.size
        },
        "cash": {
            currency: {
                "balance": cash.balance,
                "session_rpl": cash.session_rpl,
                "equity": figures(currency, books, exchange.markets).equity,
            }
            for currency, cash in books.cash.items()
        },
        "orders": [
            render.order(order, exchange.catalogue) for order in books.order_records.everything()
        ],
        "trades": [render.trade(trade, exchange.catalogue) for trade in books.trades],
        "transaction_log": [
            {
                "user_seq": row.user_seq,
                "currency": row.currency,
                "type": row.row_type,
                "instrument_name": row.instrument_name,
                "change": row.change,
                "balance": row.balance,
                "trade_id": row.trade_id,
                "timestamp": row.timestamp_ms,
            }
            for row in books.log
        ],
        "labels": [
            {
                "label": arrival.label,
                "method": arrival.method,
                "arrived_ms": arrival.arrived_ms,
                "connection": arrival.connection,
            }
            for arrival in arrivals.seen
        ],
        "connections": _connections(venue.sessions, now_ms),
    }


def _connections(sessions: Sessions, now_ms: int) -> list[dict[str, Any]]:
    return [
        {
            "connection": number,
            "is_logged_in": session.is_authorized(now_ms),
            "cancels_on_disconnect": session.cancels_on_disconnect,
        }
        for number, session in sessions.by_connection.items()
    ]
