-- columns: log_entry
l.entry_id, l.user_seq, l.currency, l.timestamp_ms, l.entry_type, l.change, l.balance, l.cashflow,
l.equity, l.instrument, l.side, l.amount, l.contracts, l.position, l.price, l.price_currency,
l.mark_price, l.index_price, l.settlement_price, l.commission, l.session_rpl, l.session_upl,
l.interest_pl, l.total_interest_pl, l.trade_id, l.order_id, l.is_profit_cashflow, l.info

-- name: insert
INSERT OR IGNORE INTO account_log (
    entry_id, user_seq, currency, timestamp_ms, entry_type, change, balance, cashflow, equity,
    instrument, side, amount, contracts, position, price, price_currency, mark_price, index_price,
    settlement_price, commission, session_rpl, session_upl, interest_pl, total_interest_pl,
    trade_id, order_id, is_profit_cashflow, info
) VALUES (
    :entry_id, :user_seq, :currency, :timestamp_ms, :entry_type, :change, :balance, :cashflow,
    :equity, :instrument, :side, :amount, :contracts, :position, :price, :price_currency,
    :mark_price, :index_price, :settlement_price, :commission, :session_rpl, :session_upl,
    :interest_pl, :total_interest_pl, :trade_id, :order_id, :is_profit_cashflow, :info
);

-- name: tail
SELECT {log_entry} FROM account_log AS l
WHERE l.currency = :currency ORDER BY l.user_seq DESC LIMIT 1;

-- name: since
SELECT {log_entry} FROM account_log AS l WHERE l.timestamp_ms >= :since_ms ORDER BY l.user_seq;

-- name: trades_without_fill
-- What the log says was executed and no fill of ours tells.
SELECT DISTINCT l.trade_id FROM account_log AS l
WHERE l.instrument = :instrument AND l.timestamp_ms >= :since_ms AND l.trade_id IS NOT NULL
AND l.entry_type = 'trade'
AND NOT EXISTS (
    SELECT 1 FROM fills AS f WHERE f.currency = l.currency AND f.trade_id = l.trade_id
);

-- name: has_strange
-- Whether anything moved the position that no fill we know tells. A settlement moves none.
SELECT EXISTS (
    SELECT 1 FROM account_log AS l
    WHERE l.instrument = :instrument AND l.timestamp_ms >= :since_ms
    AND l.entry_type <> 'settlement'
    AND NOT EXISTS (
        SELECT 1 FROM fills AS f
        WHERE l.entry_type = 'trade' AND f.currency = l.currency AND f.trade_id = l.trade_id
    )
);

-- name: ended_flat
-- Open trades after whose entry nothing was held any more, and that not by another entry of ours:
-- one the other way leaves both open.
SELECT t.id FROM trades AS t
WHERE t.status = 'open' AND t.instrument = :instrument AND EXISTS (
    SELECT 1 FROM account_log AS l
    WHERE l.instrument = t.instrument AND l.position = '0' AND l.timestamp_ms > (
        SELECT max(f.timestamp_ms) FROM trade_fills AS s INNER JOIN fills AS f ON f.seq = s.fill_seq
        WHERE s.trade_id = t.id AND s.is_entry = 1
    )
    AND NOT EXISTS (
        SELECT 1 FROM fills AS f INNER JOIN trade_fills AS s ON s.fill_seq = f.seq
        WHERE f.currency = l.currency AND f.trade_id = l.trade_id AND s.is_entry = 1
    )
);

-- name: newest_of_instrument
SELECT {log_entry} FROM account_log AS l
WHERE l.instrument = :instrument AND l.timestamp_ms >= :since_ms ORDER BY l.user_seq DESC LIMIT 1;

-- name: searches
SELECT currency, since_ms, complete_ms FROM searches WHERE name = :name;

-- name: put_search
-- An interval grows while the next one touches it, and begins anew after a hole.
INSERT INTO searches (name, currency, since_ms, complete_ms)
VALUES (:name, :currency, :since_ms, :complete_ms)
ON CONFLICT (name, currency) DO UPDATE
SET since_ms = iif(
        excluded.since_ms > complete_ms, excluded.since_ms, min(since_ms, excluded.since_ms)
    ),
    complete_ms = excluded.complete_ms;
