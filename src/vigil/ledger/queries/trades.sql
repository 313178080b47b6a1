-- name: load
SELECT t.estimate_price, t.estimate_ms, {trade} FROM trades AS t WHERE t.id = :trade_id;

-- name: open_page
SELECT t.seq, {trade} FROM trades AS t
WHERE t.status = 'open' AND t.seq > :after ORDER BY t.seq LIMIT :limit;

-- name: by_entry_order
SELECT id FROM trades WHERE entry_order_id = :order_id;

-- name: put
INSERT INTO trades (
    id, strategy_name, instrument, side, entry_order_id, entry_price, amount, entry_time, status,
    open_amount, strategy_id, stop_loss, take_profit, exit_price, exit_time, exit_reason, pnl,
    pnl_currency, pnl_source, fees, funding, closed_by, idempotency_key
) VALUES (
    :id, :strategy_name, :instrument, :side, :entry_order_id, :entry_price, :amount, :entry_time,
    :status, :open_amount, :strategy_id, :stop_loss, :take_profit, :exit_price, :exit_time,
    :exit_reason, :pnl, :pnl_currency, :pnl_source, :fees, :funding, :closed_by, :idempotency_key
)
ON CONFLICT (id) DO UPDATE
SET entry_price = excluded.entry_price, amount = excluded.amount,
    entry_time = excluded.entry_time, status = excluded.status,
    open_amount = excluded.open_amount, stop_loss = excluded.stop_loss,
    exit_price = excluded.exit_price, exit_time = excluded.exit_time,
    exit_reason = excluded.exit_reason, pnl = excluded.pnl,
    pnl_currency = excluded.pnl_currency, pnl_source = excluded.pnl_source,
    fees = excluded.fees, closed_by = excluded.closed_by;

-- name: set_estimate
UPDATE trades SET estimate_price = :price, estimate_ms = :at_ms WHERE id = :trade_id;

-- name: insert_change
INSERT INTO trade_changes (
    trade_id, at_ms, cause, status, amount, open_amount, stop_loss, pnl, pnl_source
) VALUES (
    :trade_id, :at_ms, :cause, :status, :amount, :open_amount, :stop_loss, :pnl, :pnl_source
);

-- name: changes
SELECT trade_id, at_ms, cause, status, amount, open_amount, stop_loss, pnl, pnl_source
FROM trade_changes WHERE trade_id = :trade_id ORDER BY seq;

-- name: opened_since
SELECT count(*) FROM trades WHERE strategy_id = :strategy_id AND entry_time >= :since_ms;

-- name: last_exit
SELECT id, exit_time FROM trades
WHERE strategy_id = :strategy_id AND exit_time IS NOT NULL AND status = 'closed'
ORDER BY exit_time DESC LIMIT 1;

-- name: open_with_entry
SELECT t.id FROM trades AS t
WHERE t.status = 'open'
    AND EXISTS (SELECT 1 FROM trade_fills AS f WHERE f.trade_id = t.id AND f.is_entry = 1);

-- name: estimated
SELECT t.seq, {trade} FROM trades AS t
WHERE t.status = 'closed' AND t.exit_time >= :since_ms AND t.pnl_source = 'estimate'
ORDER BY t.exit_time;
