-- From the PostgreSQL review of November 2026, finding F8.
-- A view filled by a function that reads another view: stock pg_restore fills them in the archive's order, one after the other.
-- Right: the views are filled one after the other, in the archive's order.
-- ways: restore drill
CREATE TABLE base (n int); INSERT INTO base VALUES (1), (2);
CREATE MATERIALIZED VIEW a_first AS SELECT n FROM base, pg_sleep(1);
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(n) FROM public.a_first';
CREATE MATERIALIZED VIEW b_second AS SELECT total() AS t;
