SELECT * FROM events
WHERE (transaction_id, position) > (:after_transaction::text::xid8, :after::bigint)
  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY transaction_id, position LIMIT :count::bigint;
