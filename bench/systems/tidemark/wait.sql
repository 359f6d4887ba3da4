SELECT * FROM es_read_after(:after::bigint, :count::bigint, wait => '1 s');
