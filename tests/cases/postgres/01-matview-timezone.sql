-- From the PostgreSQL review of November 2026, finding F3.
-- A materialised view that counts by local day, in a database whose TimeZone is set by ALTER DATABASE.
-- Right: the restored view holds what the live one held (pg_restore --create sets the database's settings first, then refreshes).
-- Load into an empty database as a superuser. Roles: none.
-- ways: restore hand
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Pacific/Auckland'); END $$;
SET timezone = 'Pacific/Auckland';
CREATE TABLE orders (id int PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO orders SELECT n, timestamptz '2026-01-01 00:00+00' + n * interval '1 hour' FROM generate_series(1, 48) n;
CREATE MATERIALIZED VIEW per_day AS SELECT at::date AS day, count(*) AS n FROM orders GROUP BY 1;
