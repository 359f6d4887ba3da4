-- Appends the lines of dpkg's log on standard input, oldest first, as events: one stream per package, one event per
-- line that names a package. An event's id is derived from its line, so lines that were appended before are known by
-- their events, and this can be run again at any time and after any interruption.
\set ON_ERROR_STOP on

-- Loaders take turns: the second finds what the first has appended.
SELECT pg_advisory_lock(1) \g /dev/null

CREATE TEMP TABLE log_line (number bigint GENERATED ALWAYS AS IDENTITY, line text);
-- One column, whatever the line holds: neither the delimiter nor the quote can occur in it.
\copy log_line (line) FROM pstdin (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')

CREATE TEMP TABLE event_type (word text PRIMARY KEY, event_type text);
INSERT INTO event_type VALUES
    ('install', 'PackageInstallStarted'),
    ('upgrade', 'PackageUpgradeStarted'),
    ('configure', 'PackageConfigurationStarted'),
    ('trigproc', 'PackageTriggerProcessingStarted'),
    ('remove', 'PackageRemovalStarted'),
    ('purge', 'PackagePurgeStarted'),
    ('disappear', 'PackageDisappeared'),
    ('status', 'PackageStatusChanged');

-- date time status STATE PACKAGE VERSION, or date time ACTION PACKAGE VERSION NEW-VERSION; no version is <none>.
-- dpkg can write the same line twice in a second: the id counts them.
CREATE TEMP TABLE package_line AS
SELECT number, event_type, 'package-' || CASE word WHEN 'status' THEN field[5] ELSE field[4] END AS stream_id,
    md5(line || ' ' || row_number() OVER (PARTITION BY line ORDER BY number))::uuid AS event_id,
    jsonb_strip_nulls(jsonb_build_object('at', field[1] || 'T' || field[2]) || CASE
        WHEN word = 'status' THEN jsonb_build_object('status', field[4], 'version', nullif(field[6], '<none>'))
        WHEN word IN ('install', 'upgrade')
            THEN jsonb_build_object('version', field[6], 'previous_version', nullif(field[5], '<none>'))
        ELSE jsonb_build_object('version', nullif(field[5], '<none>')) END) AS data
FROM log_line
CROSS JOIN string_to_array(line, ' ') AS field
JOIN event_type ON word = field[3]
WHERE cardinality(field) = 6;

\pset tuples_only
\pset format unaligned
SELECT format('%s lines name a package, %s do not%s; %s are events already',
    count(line.number), count(*) FILTER (WHERE line.number IS NULL),
    (SELECT ' (' || string_agg(lines || ' ' || word, ', ') || ')'
     FROM (SELECT count(*) AS lines, split_part(line, ' ', 3) AS word
           FROM log_line LEFT JOIN package_line USING (number)
           WHERE stream_id IS NULL GROUP BY word ORDER BY lines DESC) other),
    count(event.event_id))
FROM log_line
LEFT JOIN package_line line USING (number)
LEFT JOIN es_events event USING (event_id);

-- One append per run of lines of one package, in the order of the log. Each expects the version that the one before
-- left, so that if anybody appends to a stream meanwhile, the next append to it is refused.
CREATE TEMP TABLE append AS
SELECT min(number) AS number, stream_id, count(*) AS size,
    coalesce(nullif(es_stream_version(stream_id) + min(nth) - 1, 0), es_no_stream()) AS expected_version,
    jsonb_agg(jsonb_build_object('type', event_type, 'id', event_id, 'data', data) ORDER BY number) AS events
FROM (
    SELECT *, row_number() OVER stream AS nth, row_number() OVER (ORDER BY number) - row_number() OVER stream AS run
    FROM package_line line
    WHERE NOT EXISTS (SELECT FROM es_events e WHERE e.event_id = line.event_id)
    WINDOW stream AS (PARTITION BY stream_id ORDER BY number)
) line
GROUP BY stream_id, run;

DO $$
DECLARE
    total bigint := (SELECT coalesce(sum(size), 0) FROM append);
    done bigint := 0;
    committed bigint := 0;
    began timestamptz := clock_timestamp();
    reported timestamptz := began;
    seconds numeric;
    append append;
BEGIN
    FOR append IN SELECT * FROM append ORDER BY number LOOP
        PERFORM es_append_events(append.stream_id, append.events, append.expected_version);
        done := done + append.size;
        IF done >= committed + 1000 OR done = total THEN
            COMMIT;
            committed := done;
            IF done = total OR clock_timestamp() > reported + interval '0.5 seconds' THEN
                reported := clock_timestamp();
                seconds := extract(epoch FROM reported - began);
                RAISE INFO '% of % events appended in % s, % a second',
                    done, total, round(seconds, 2), round(done / seconds);
            END IF;
        END IF;
    END LOOP;
END $$;
