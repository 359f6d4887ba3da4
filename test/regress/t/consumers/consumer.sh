#!/usr/bin/env bash
# A consumer by psql, until it is killed: its effects are what the function handle() of the database does, and
# dawdle() and a_few() say for how long it does nothing before, and how many events it asks for.
#
#   consumer.sh CONNINFO SUBSCRIPTION CONSUMER
#
# A psql that has met an error is followed by another one, as are those that are through with their rounds.
round=$(cat <<'SQL'
SELECT array_agg(position) AS positions, array_agg(stream_id) AS streams, array_agg(version) AS versions,
    max(position) AS last, max(fence) AS fence, count(*) > 0 AS is_work
FROM es_fetch(:'subscription', :'consumer', a_few(20), wait => '1 second', lease => '1 second') \gset
\if :is_work
SELECT dawdle();
BEGIN;
SELECT count(handle(position, stream_id, version, :'consumer'))
FROM unnest(:'positions'::bigint[], :'streams'::text[], :'versions'::bigint[]) AS batch (position, stream_id, version);
SELECT es_ack(:'subscription', :last, :fence);
COMMIT;
\endif
SQL
)
rounds=$(for _ in {1..100}; do printf '%s\n' "$round"; done)
while :; do
  psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -v "subscription=$2" -v "consumer=$3" -d "$1" <<<"$rounds" \
    2>&1 >/dev/null | grep ERROR
  sleep 0.05
done
