SELECT * FROM events WHERE stream_id = @stream@ ORDER BY version;
