SELECT last_value FROM events_position_seq;
