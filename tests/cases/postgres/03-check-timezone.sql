-- From the PostgreSQL review of November 2026, finding F3.
-- A CHECK that reads the clock's zone: true in the database's TimeZone, false in UTC, under which rows are loaded.
-- Right: the backup can be restored (stock pg_restore --create does it).
-- ways: restore hand
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Europe/Berlin'); END $$;
SET timezone = 'Europe/Berlin';
CREATE TABLE shifts (starts timestamptz NOT NULL, CONSTRAINT at_midnight CHECK (date_trunc('day', starts) = starts));
INSERT INTO shifts VALUES ('2026-07-01 00:00'), ('2026-12-01 00:00');
