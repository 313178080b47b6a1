-- The ledger's first schema. Money is canonical decimal text; times are UTC milliseconds.
-- A person may insert into `trades` by hand, so its checks are strict about what they can see and
-- every column beyond the eleven that a person gives has a default.

CREATE TABLE header (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    environment TEXT NOT NULL,
    account TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- One attempt at one intent of ours, from before the wire on.
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY,
    label TEXT NOT NULL UNIQUE CHECK (length(label) BETWEEN 1 AND 64),
    intent_id INTEGER NOT NULL CHECK (intent_id > 0),
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    strategy_id TEXT NOT NULL,
    strategy_name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('entry', 'stop', 'target', 'close')),
    trade_id TEXT NOT NULL,
    instrument TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('buy', 'sell')),
    order_type TEXT NOT NULL,
    amount TEXT NOT NULL CHECK (CAST(amount AS REAL) > 0),
    price TEXT,
    trigger_price TEXT,
    reduce_only INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    parent_label TEXT REFERENCES orders (label),
    order_id TEXT,
    filled_amount TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN (
        'pending', 'in_doubt', 'untriggered', 'open', 'partially_filled', 'triggered',
        'filled', 'cancelled', 'rejected', 'failed'
    )),
    reason TEXT,
    -- Why a close was wanted; kept apart so that a cancellation's reason cannot overwrite it.
    close_reason TEXT,
    created_ms INTEGER NOT NULL,
    valid_until_ms INTEGER NOT NULL,
    -- Exchange time of the newest news about price, trigger price and amount.
    exchange_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every index is one more page to sync before an order may leave, so there are just these.
CREATE INDEX orders_by_trade ON orders (trade_id);
CREATE INDEX orders_working ON orders (seq)
WHERE status NOT IN ('filled', 'cancelled', 'rejected', 'failed');

-- Every exchange id under which an order of ours was ever seen: a triggered stop spawns an order
-- with a new id, and the old id stays in fills and in the trigger history.
CREATE TABLE order_ids (
    order_id TEXT PRIMARY KEY,
    label TEXT NOT NULL REFERENCES orders (label),
    -- The trigger order that spawned this one.
    spawned_by TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE trades (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    strategy_name TEXT NOT NULL,
    instrument TEXT NOT NULL CHECK (instrument <> ''),
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    entry_order_id TEXT NOT NULL,
    entry_price TEXT NOT NULL CHECK (
        entry_price GLOB '[0-9]*' AND entry_price NOT GLOB '*[^0-9.eE+-]*'
        AND CAST(entry_price AS REAL) > 0
    ),
    amount TEXT NOT NULL CHECK (
        amount GLOB '[0-9]*' AND amount NOT GLOB '*[^0-9.eE+-]*' AND CAST(amount AS REAL) > 0
    ),
    stop_loss TEXT CHECK (
        stop_loss IS NULL OR (
            stop_loss GLOB '[0-9]*' AND stop_loss NOT GLOB '*[^0-9.eE+-]*'
            AND CAST(stop_loss AS REAL) > 0
        )
    ),
    take_profit TEXT CHECK (
        take_profit IS NULL OR (
            take_profit GLOB '[0-9]*' AND take_profit NOT GLOB '*[^0-9.eE+-]*'
            AND CAST(take_profit AS REAL) > 0
        )
    ),
    entry_time INTEGER NOT NULL CHECK (entry_time >= 0),
    status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    strategy_id TEXT,
    -- NULL: nothing of it was ever closed by a fill, so all of it is open while the trade is.
    open_amount TEXT,
    exit_price TEXT,
    exit_time INTEGER,
    exit_reason TEXT CHECK (exit_reason IN (
        'sl_hit', 'tp_hit', 'manual', 'liquidation', 'delivery', 'strategy_stop', 'emergency'
    )),
    pnl TEXT,
    pnl_currency TEXT,
    pnl_source TEXT CHECK (pnl_source IN ('fills', 'settlement', 'estimate')),
    fees TEXT NOT NULL DEFAULT '0',
    funding TEXT NOT NULL DEFAULT '0',
    closed_by TEXT,
    -- The mark and time of an estimated closing, kept until true fills explain all of it.
    estimate_price TEXT,
    estimate_ms INTEGER,
    idempotency_key TEXT UNIQUE
) STRICT;

CREATE INDEX trades_open ON trades (seq) WHERE status = 'open';
CREATE INDEX trades_by_time ON trades (entry_time);
CREATE INDEX trades_by_entry_order ON trades (entry_order_id);
CREATE INDEX trades_by_entry_time ON trades (strategy_id, entry_time) WHERE strategy_id IS NOT NULL;
CREATE INDEX trades_by_exit_time ON trades (strategy_id, exit_time) WHERE strategy_id IS NOT NULL;
CREATE INDEX trades_closed ON trades (exit_time) WHERE status = 'closed';

-- Executions of the account's orders, whoever placed them. `trade_id` is the exchange's name for
-- one execution, unique per settlement currency.
CREATE TABLE fills (
    seq INTEGER PRIMARY KEY,
    currency TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    label TEXT NOT NULL,
    instrument TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('buy', 'sell')),
    amount TEXT NOT NULL CHECK (CAST(amount AS REAL) > 0),
    price TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    trade_seq INTEGER NOT NULL,
    order_type TEXT NOT NULL,
    mark_price TEXT,
    index_price TEXT,
    is_maker INTEGER NOT NULL CHECK (is_maker IN (0, 1)),
    is_liquidation INTEGER NOT NULL CHECK (is_liquidation IN (0, 1)),
    own_label TEXT REFERENCES orders (label),
    -- What no trade's share covers yet.
    unassigned_amount TEXT NOT NULL,
    UNIQUE (currency, trade_id)
) STRICT;

CREATE INDEX fills_by_order ON fills (order_id);
CREATE INDEX fills_by_label ON fills (label) WHERE label <> '';
CREATE INDEX fills_by_own_label ON fills (own_label) WHERE own_label IS NOT NULL;
CREATE INDEX fills_by_instrument ON fills (instrument, timestamp_ms);
CREATE INDEX fills_unassigned ON fills (timestamp_ms) WHERE unassigned_amount <> '0';
-- Of our own orders, and yet without a trade: their order was not known when they came, or the
-- trade's entry still is not.
CREATE INDEX fills_unbooked ON fills (own_label)
WHERE own_label IS NOT NULL AND unassigned_amount <> '0';

-- The part of a fill that belongs to a trade: found through our own order, or assigned by the
-- reconciler.
CREATE TABLE trade_fills (
    trade_id TEXT NOT NULL REFERENCES trades (id),
    fill_seq INTEGER NOT NULL REFERENCES fills (seq),
    amount TEXT NOT NULL CHECK (CAST(amount AS REAL) > 0),
    is_entry INTEGER NOT NULL CHECK (is_entry IN (0, 1)),
    reason TEXT,
    source TEXT NOT NULL CHECK (source IN ('order', 'assigned')),
    PRIMARY KEY (trade_id, fill_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX trade_fills_by_fill ON trade_fills (fill_seq);

-- What changed in a trade, and what caused it; a row for each change, never edited.
CREATE TABLE trade_changes (
    seq INTEGER PRIMARY KEY,
    trade_id TEXT NOT NULL REFERENCES trades (id),
    at_ms INTEGER NOT NULL,
    cause TEXT NOT NULL,
    status TEXT NOT NULL,
    amount TEXT NOT NULL,
    open_amount TEXT NOT NULL,
    stop_loss TEXT,
    pnl TEXT,
    pnl_source TEXT
) STRICT;

CREATE INDEX trade_changes_by_trade ON trade_changes (trade_id);

CREATE TABLE reconciliation_runs (
    seq INTEGER PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'skipped', 'failed')),
    reason TEXT,
    open_trades INTEGER NOT NULL,
    drifts TEXT NOT NULL,
    remedies TEXT NOT NULL,
    is_unsettled INTEGER NOT NULL CHECK (is_unsettled IN (0, 1))
) STRICT;

CREATE TABLE incidents (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('warning', 'error')),
    message TEXT NOT NULL,
    detail TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    acknowledged_ms INTEGER,
    resolved_ms INTEGER
) STRICT;

-- The same trouble with the same subject is one incident while it lasts.
CREATE UNIQUE INDEX incidents_open ON incidents (kind, subject) WHERE resolved_ms IS NULL;
