SELECT * FROM es_read_stream(@stream@);
