SELECT * FROM es_read_after(:after::bigint, :count::bigint, category => 'category' || :category);
