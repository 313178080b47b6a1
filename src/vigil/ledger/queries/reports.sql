-- name: history
-- Newest entry first, trades of one moment by the order of insertion.
SELECT t.seq, {trade} FROM trades AS t
WHERE (t.entry_time, t.seq) < (:before_ms, :before_seq)
AND (:status IS NULL OR t.status = :status)
AND (:strategy IS NULL OR t.strategy_id = :strategy OR t.strategy_name = :strategy)
AND (:instrument IS NULL OR t.instrument = :instrument)
ORDER BY t.entry_time DESC, t.seq DESC LIMIT :limit;

-- name: position_of
SELECT entry_time, seq FROM trades WHERE id = :trade_id;

-- name: closed_since
SELECT t.seq, {trade} FROM trades AS t
WHERE t.status = 'closed' AND t.exit_time >= :since_ms
AND (:strategy IS NULL OR t.strategy_id = :strategy OR t.strategy_name = :strategy)
ORDER BY t.exit_time, t.seq;

-- name: counts
SELECT status, count(*) FROM trades GROUP BY status;
