-- From the PostgreSQL review of November 2026, finding F17.
-- CONNECTION LIMIT 2 on the database, dumped by a role that is no superuser (pg_dump needs one connection). Roles: t1_dump.
-- Right: one connection is enough, as for pg_dump.
-- ways: restore
-- dump by: t1_dump
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 2', current_database()); END $$;
CREATE TABLE t (a int, b text); INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n;
