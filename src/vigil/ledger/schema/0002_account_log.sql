-- The exchange's transaction log, kept as it was told: a drop copy to check the rest against.
-- Every column of an entry as canonical text; the exchange's own word for its type.
CREATE TABLE account_log (
    seq INTEGER PRIMARY KEY,
    currency TEXT NOT NULL,
    user_seq INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    entry_type TEXT NOT NULL,
    change TEXT NOT NULL,
    balance TEXT NOT NULL,
    cashflow TEXT,
    equity TEXT,
    instrument TEXT,
    side TEXT NOT NULL,
    amount TEXT,
    contracts TEXT,
    position TEXT,
    price TEXT,
    price_currency TEXT,
    mark_price TEXT,
    index_price TEXT,
    settlement_price TEXT,
    commission TEXT,
    session_rpl TEXT,
    session_upl TEXT,
    interest_pl TEXT,
    total_interest_pl TEXT,
    trade_id TEXT,
    order_id TEXT,
    is_profit_cashflow INTEGER NOT NULL CHECK (is_profit_cashflow IN (0, 1)),
    info TEXT NOT NULL,
    UNIQUE (currency, user_seq)
) STRICT;

CREATE INDEX account_log_by_time ON account_log (timestamp_ms);
CREATE INDEX account_log_trades ON account_log (instrument, timestamp_ms)
WHERE trade_id IS NOT NULL;

-- How far each search of the exchange's records is complete, so that a fresh process goes on where
-- the last one was, however long ago that is. Exchange time.
CREATE TABLE searches (
    name TEXT NOT NULL CHECK (name IN ('fills', 'account_log')),
    currency TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    complete_ms INTEGER NOT NULL CHECK (complete_ms >= since_ms),
    PRIMARY KEY (name, currency)
) STRICT, WITHOUT ROWID;
