-- name: raise
-- The same kind and subject while open is counted, with its newest words.
INSERT INTO incidents (kind, subject, severity, message, detail, opened_ms, last_ms, count)
VALUES (:kind, :subject, :severity, :message, :detail, :now_ms, :now_ms, 1)
ON CONFLICT (kind, subject) WHERE resolved_ms IS NULL DO UPDATE
SET severity = excluded.severity, message = excluded.message, detail = excluded.detail,
    last_ms = excluded.last_ms, count = count + 1
RETURNING {incident};

-- name: resolve
UPDATE incidents SET resolved_ms = :now_ms
WHERE kind = :kind AND subject = :subject AND resolved_ms IS NULL
RETURNING {incident};

-- name: acknowledge
UPDATE incidents SET acknowledged_ms = coalesce(acknowledged_ms, :now_ms) WHERE id = :id
RETURNING {incident};

-- name: open
SELECT {incident} FROM incidents WHERE resolved_ms IS NULL ORDER BY id;
