-- name: load
SELECT environment, account, created_ms FROM header;

-- name: insert
INSERT INTO header (id, environment, account, created_ms)
VALUES (1, :environment, :account, :created_ms);

-- name: claim
UPDATE header SET account = :account WHERE account = '';
