-- From the PostgreSQL review of November 2026, finding F3.
-- The database's default_toast_compression is lz4; the restored rows are compressed as the server's default says.
-- Right: the rows are compressed as the database's setting says.
-- ways: restore
-- check: SELECT DISTINCT pg_column_compression(a) FROM public.t WHERE pg_column_compression(a) <> 'lz4'
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_toast_compression = lz4', current_database()); END $$;
SET default_toast_compression = lz4;
CREATE TABLE t (a text); INSERT INTO t VALUES (repeat('x', 100000));
