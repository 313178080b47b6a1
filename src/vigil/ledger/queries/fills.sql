-- name: insert
INSERT OR IGNORE INTO fills (
    currency, trade_id, order_id, label, instrument, direction, amount, price, fee, fee_currency,
    timestamp_ms, trade_seq, order_type, mark_price, index_price, is_maker, is_liquidation,
    own_label, unassigned_amount
) VALUES (
    :currency, :trade_id, :order_id, :label, :instrument, :direction, :amount, :price, :fee,
    :fee_currency, :timestamp_ms, :trade_seq, :order_type, :mark_price, :index_price, :is_maker,
    :is_liquidation, :own_label, :amount
);

-- name: find
SELECT seq, own_label, unassigned_amount FROM fills
WHERE currency = :currency AND trade_id = :trade_id;

-- name: link_by_label
UPDATE fills SET own_label = :label WHERE label = :label AND own_label IS NULL;

-- name: link_by_order_id
UPDATE fills SET own_label = :label WHERE order_id = :order_id AND own_label IS NULL;

-- name: of_trade
-- Executions of the trade's own orders, and of the order that a person named as its entry.
SELECT f.seq, f.own_label, {fill} FROM fills AS f
WHERE f.own_label IN (SELECT o.label FROM orders AS o WHERE o.trade_id = :trade_id)
UNION
SELECT f.seq, f.own_label, {fill} FROM fills AS f
WHERE f.order_id = :entry_order_id AND f.own_label IS NULL;

-- name: of_order
SELECT amount FROM fills WHERE own_label = :label;

-- name: set_unassigned
UPDATE fills SET unassigned_amount = :unassigned_amount WHERE seq = :fill_seq;

-- name: unbooked
-- Trades with executions of our own orders that no share covers. The planner would take the index
-- over all unassigned fills, which others' trading on the account can make long.
SELECT o.trade_id, f.trade_id FROM fills AS f INDEXED BY fills_unbooked INNER JOIN orders AS o ON f.own_label = o.label
WHERE f.own_label IS NOT NULL AND f.unassigned_amount <> '0'
ORDER BY f.timestamp_ms, f.trade_seq;

-- name: last_by_instrument
WITH RECURSIVE instruments (instrument) AS (
    SELECT min(instrument) FROM fills
    UNION ALL
    SELECT (SELECT min(f.instrument) FROM fills AS f WHERE f.instrument > i.instrument)
    FROM instruments AS i WHERE i.instrument IS NOT NULL
)

SELECT i.instrument, (
    SELECT max(f.timestamp_ms) FROM fills AS f WHERE f.instrument = i.instrument
)
FROM instruments AS i WHERE i.instrument IS NOT NULL;

-- name: at
SELECT {fill} FROM fills AS f
WHERE f.instrument = :instrument AND f.timestamp_ms = :timestamp_ms
ORDER BY f.trade_seq DESC LIMIT 1;

-- name: unassigned
SELECT f.unassigned_amount, {fill} FROM fills AS f
WHERE f.unassigned_amount <> '0' AND f.timestamp_ms >= :since_ms
AND (:instrument IS NULL OR f.instrument = :instrument)
ORDER BY f.timestamp_ms, f.trade_seq, f.seq;

-- name: shares_of_fill
SELECT trade_id, amount FROM trade_fills WHERE fill_seq = :fill_seq;

-- name: shares_of_trade
SELECT s.fill_seq, s.amount, s.is_entry, s.reason, s.source, {fill}
FROM trade_fills AS s INNER JOIN fills AS f ON s.fill_seq = f.seq
WHERE s.trade_id = :trade_id ORDER BY f.timestamp_ms, f.trade_seq, f.seq;

-- name: put_share
INSERT INTO trade_fills (trade_id, fill_seq, amount, is_entry, reason, source)
VALUES (:trade_id, :fill_seq, :amount, :is_entry, :reason, :source)
ON CONFLICT (trade_id, fill_seq) DO UPDATE
SET amount = excluded.amount, is_entry = excluded.is_entry, reason = excluded.reason,
    source = excluded.source;

-- name: drop_share
DELETE FROM trade_fills WHERE trade_id = :trade_id AND fill_seq = :fill_seq;
