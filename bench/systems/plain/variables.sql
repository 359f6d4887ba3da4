-- What was loaded is of one transaction; the pages that are read are within it.
SELECT 'after_transaction=' || max(transaction_id) FROM events;
