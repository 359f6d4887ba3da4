SELECT * FROM get_category_messages(('category' || :category)::varchar, :after::bigint + 1, :count::bigint);
