SELECT * FROM events WHERE position > :after::bigint ORDER BY position LIMIT :count::bigint;
