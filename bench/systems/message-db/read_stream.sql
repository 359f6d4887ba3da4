SELECT * FROM get_stream_messages(@stream@::varchar, 0::bigint, 1000::bigint);
