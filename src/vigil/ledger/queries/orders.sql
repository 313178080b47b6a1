-- name: last_intent_id
-- Ids are handed out in growing order, and rows come in the order in which they were committed.
-- Only an adopted order, of which there are few, may carry an older id than the rows before it.
SELECT coalesce(max(intent_id), 0) FROM (
    SELECT intent_id FROM orders ORDER BY seq DESC LIMIT 10000
);

-- name: insert
INSERT INTO orders (
    label, intent_id, attempt, strategy_id, strategy_name, role, trade_id, instrument, direction,
    order_type, amount, created_ms, valid_until_ms, status, price, trigger_price, reduce_only,
    parent_label, order_id, filled_amount, reason, close_reason
) VALUES (
    :label, :intent_id, :attempt, :strategy_id, :strategy_name, :role, :trade_id, :instrument,
    :direction, :order_type, :amount, :created_ms, :valid_until_ms, :status, :price,
    :trigger_price, :reduce_only, :parent_label, :order_id, :filled_amount, :reason, :close_reason
);

-- name: update
UPDATE orders
SET exchange_ms = :exchange_ms, status = :status, amount = :amount, price = :price, trigger_price = :trigger_price,
    filled_amount = :filled_amount, order_id = :order_id, reason = :reason
WHERE label = :label;

-- name: by_label
SELECT o.exchange_ms, {order} FROM orders AS o WHERE o.label = :label;

-- name: by_trade
SELECT {order} FROM orders AS o WHERE o.trade_id = :trade_id ORDER BY o.seq;

-- name: by_trade_for_booking
SELECT o.close_reason, {order} FROM orders AS o WHERE o.trade_id = :trade_id ORDER BY o.seq;

-- name: children
SELECT {order} FROM orders AS o WHERE o.trade_id = :trade_id AND o.parent_label = :label ORDER BY o.seq;

-- name: working
SELECT {order} FROM orders AS o
WHERE o.status NOT IN ('filled', 'cancelled', 'rejected', 'failed')
ORDER BY o.seq;

-- name: unproven
-- The first condition says nothing new, and lets the index of working orders serve.
SELECT {order} FROM orders AS o
WHERE o.status NOT IN ('filled', 'cancelled', 'rejected', 'failed')
AND o.status IN ('pending', 'in_doubt')
ORDER BY o.seq;

-- name: short_of_fills
-- Orders of which the exchange says that more was filled than the executions known of them make.
-- Only among the newest, so that the search does not grow with the years.
SELECT {order} FROM (SELECT * FROM orders ORDER BY seq DESC LIMIT 1000) AS o
WHERE o.filled_amount <> '0' AND CAST(o.filled_amount AS REAL) > 1.000000001 * (
    SELECT coalesce(sum(CAST(f.amount AS REAL)), 0) FROM fills AS f WHERE f.own_label = o.label
)
ORDER BY o.seq;

-- name: insert_id
INSERT OR IGNORE INTO order_ids (order_id, label, spawned_by)
VALUES (:order_id, :label, :spawned_by);

-- name: is_spawned
SELECT spawned_by IS NOT NULL FROM order_ids WHERE order_id = :order_id;

-- name: label_of_id
SELECT label FROM order_ids WHERE order_id = :order_id;
