-- name: insert
INSERT INTO reconciliation_runs (
    started_ms, finished_ms, trigger, outcome, reason, open_trades, drifts, remedies, is_unsettled
) VALUES (
    :started_ms, :finished_ms, :trigger, :outcome, :reason, :open_trades, :drifts, :remedies,
    :is_unsettled
);

-- name: latest
SELECT
    seq, started_ms, finished_ms, trigger, outcome, reason, open_trades, drifts, remedies,
    is_unsettled
FROM reconciliation_runs ORDER BY seq DESC LIMIT :limit;

-- name: last_good
SELECT (
    SELECT started_ms FROM reconciliation_runs WHERE outcome = 'ok' ORDER BY seq DESC LIMIT 1
);
