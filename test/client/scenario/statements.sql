-- The steps of :scenario as statements for psql, each after its title.
WITH steps AS (
    SELECT number, step, coalesce(step ->> 'call', step ->> 'sql') AS title
    FROM json_array_elements(:'scenario') WITH ORDINALITY AS numbered (step, number)
), arguments AS (
    SELECT number,
           string_agg(format('%I => %s', name, CASE
               WHEN json_typeof(value) IN ('null', 'number', 'boolean') THEN value::text
               WHEN json_typeof(value) = 'string' THEN quote_literal(value #>> '{}')
               WHEN json_typeof(value -> 0) = 'string'
                   THEN quote_literal(ARRAY(SELECT json_array_elements_text(value))::text)
               ELSE quote_literal(value::text)
           END), ', ') AS list
    FROM steps, json_each(step -> 'with') AS argument (name, value)
    GROUP BY number
)
SELECT format(E'\\echo %L\n%s;', number || '. ' || title,
              CASE WHEN step ->> 'call' IS NULL THEN title ELSE format('SELECT * FROM %I(%s)', title, list) END)
FROM steps LEFT JOIN arguments USING (number)
ORDER BY number;
