-- From the PostgreSQL review of November 2026, finding F6.
-- An event trigger that forbids all DDL, beside a materialised view: REFRESH comes after it in the archive.
-- Right: the materialised view is filled before the event trigger is there.
-- ways: restore
CREATE TABLE t (a int); INSERT INTO t VALUES (1);
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL here: %', tg_tag; END$$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION no_ddl();
