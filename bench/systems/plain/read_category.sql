-- Put so that the planner takes the index on all three.
SELECT * FROM events
WHERE (category, transaction_id, position) >
      ('category' || :category, :after_transaction::text::xid8, :after::bigint)
  AND category <= 'category' || :category
  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY category, transaction_id, position LIMIT :count::bigint;
