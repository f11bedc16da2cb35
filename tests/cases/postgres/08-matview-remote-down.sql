-- From the PostgreSQL review of November 2026, finding F6.
-- A materialised view over a foreign table whose server does not answer now.
-- Right: tables are restored, and the view is left unfilled or its failure told (stock pg_restore: one error, all else there).
-- ways: restore
CREATE EXTENSION postgres_fdw;
CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'x', connect_timeout '2');
CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'x', password 'y');
CREATE FOREIGN TABLE remote (a int) SERVER away;
CREATE TABLE local (a int); INSERT INTO local VALUES (1);
CREATE MATERIALIZED VIEW cached AS SELECT a FROM remote WITH NO DATA;
-- It was filled while the server was there (a superuser's shortcut to that state):
UPDATE pg_class SET relispopulated = true WHERE oid = 'cached'::regclass;
