-- columns: order
o.label, o.intent_id, o.attempt, o.strategy_id, o.strategy_name, o.role, o.trade_id, o.instrument,
o.direction, o.order_type, o.amount, o.created_ms, o.valid_until_ms, o.status, o.price,
o.trigger_price, o.reduce_only, o.parent_label, o.order_id, o.filled_amount,
coalesce(o.reason, o.close_reason), o.exchange_ms

-- columns: trade
t.id, t.strategy_name, t.instrument, t.side, t.entry_order_id, t.entry_price, t.amount,
t.entry_time, t.status, t.open_amount, t.strategy_id, t.stop_loss, t.take_profit, t.exit_price,
t.exit_time, t.exit_reason, t.pnl, t.pnl_source, t.fees, t.funding

-- columns: fill
f.trade_id, f.order_id, f.label, f.instrument, f.direction, f.amount, f.price, f.fee,
f.fee_currency, f.timestamp_ms, f.trade_seq, f.order_type, f.mark_price, f.index_price,
f.is_maker, f.is_liquidation

-- columns: incident
id, kind, subject, severity, message, detail, opened_ms, last_ms, count, acknowledged_ms,
resolved_ms
