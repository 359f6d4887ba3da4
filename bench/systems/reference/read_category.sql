-- Put so that the planner takes the index on both.
SELECT * FROM events
WHERE (category, position) > ('category' || :category, :after::bigint) AND category <= 'category' || :category
ORDER BY category, position LIMIT :count::bigint;
