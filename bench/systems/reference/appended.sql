SELECT last_value FROM positions;
