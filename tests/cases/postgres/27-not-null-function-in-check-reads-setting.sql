-- From the PostgreSQL review of November 2026, finding F3.
-- A CHECK that reads a setting of the database (app.tenant): true in every session of the tenant.
-- Right: the database's own settings are in force while it is filled.
-- ways: restore
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.tenant = %L', current_database(), 'acme'); END $$;
SET app.tenant = 'acme';
CREATE TABLE mine (tenant text CHECK (tenant = current_setting('app.tenant')), v int); INSERT INTO mine VALUES ('acme', 1);
CREATE MATERIALIZED VIEW of_mine AS SELECT v FROM mine WHERE tenant = current_setting('app.tenant', true);
