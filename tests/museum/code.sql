-- Everything that acts or decides: functions, triggers, rules, policies, grants, publications, servers, large objects, settings.
-- Run by psql as a superuser after tables.sql.
CREATE SCHEMA code AUTHORIZATION :"owner";
SET search_path = code, public;

CREATE FUNCTION plain(a int, b text DEFAULT 'it''s', OUT d int, INOUT e numeric DEFAULT 1.10, VARIADIC c int[] DEFAULT '{}') LANGUAGE plpgsql
    STABLE STRICT SECURITY DEFINER LEAKPROOF PARALLEL SAFE COST 12.5 SET search_path = code, "odd ""path" SET work_mem = '7MB' AS $f$BEGIN d := a; e := 1; /* $$ \ ' */ END$f$;
CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || E''\\n''';
CREATE FUNCTION as_table(n int) RETURNS TABLE (a int, "b ""x""" text) LANGUAGE sql ROWS 7 BEGIN ATOMIC SELECT i, i::text FROM generate_series(1, n) i; END;
CREATE FUNCTION body() RETURNS SETOF tables.hens LANGUAGE sql BEGIN ATOMIC SELECT * FROM tables.hens WHERE id > 0; END;
CREATE FUNCTION any_of(anycompatible, anycompatiblearray) RETURNS anycompatible LANGUAGE sql AS 'SELECT $1';
CREATE PROCEDURE does(INOUT a int, OUT b text) LANGUAGE plpgsql AS $$BEGIN a := a + 1; b := 'x'; COMMIT; END$$;
CREATE PROCEDURE inserts() LANGUAGE sql BEGIN ATOMIC INSERT INTO tables.empty VALUES (1); DELETE FROM tables.empty; END;
CREATE FUNCTION early() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM tables.empty'; ALTER FUNCTION early DEPENDS ON EXTENSION citext;
CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text, INITCOND = 'it''s', PARALLEL = SAFE);
CREATE FUNCTION ordered_step(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + $2'; CREATE FUNCTION ordered_minus(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE AGGREGATE moving(numeric) (SFUNC = ordered_step, STYPE = numeric, MSFUNC = ordered_step, MINVFUNC = ordered_minus, MSTYPE = numeric, SORTOP = >);
CREATE FUNCTION final(numeric, numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1'; CREATE AGGREGATE pick(numeric ORDER BY numeric) (SFUNC = ordered_step, STYPE = numeric, FINALFUNC = final);
COMMENT ON FUNCTION plain(text) IS 'a function'; COMMENT ON PROCEDURE does IS 'a procedure'; COMMENT ON AGGREGATE moving(numeric) IS 'an aggregate';
CREATE FUNCTION other_call() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE FUNCTION other_inline(internal) RETURNS void STRICT LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION other_check(oid) RETURNS void STRICT LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator'; CREATE TRUSTED LANGUAGE plother HANDLER other_call INLINE other_inline VALIDATOR other_check; COMMENT ON LANGUAGE plother IS 'another';
CREATE FUNCTION othered() RETURNS int LANGUAGE plother AS 'BEGIN RETURN 1; END'; CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TABLE calls (a int DEFAULT early(), b text CHECK (code.plain(b) <> ''), c text GENERATED ALWAYS AS (code.plain(b)) STORED); INSERT INTO calls (b) VALUES ('x'); CREATE INDEX ON calls (code.plain(b));

CREATE TABLE watched (id int PRIMARY KEY, t text); INSERT INTO watched SELECT n, 'w' FROM generate_series(1, 20) n;
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.t := NEW.t || '!'; RETURN NEW; END$$; CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER "odd ""trigger" BEFORE INSERT OR UPDATE OF t ON watched FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION fire('a', E'b\\''');
CREATE TRIGGER off BEFORE DELETE ON watched FOR EACH STATEMENT EXECUTE FUNCTION quiet(); ALTER TABLE watched DISABLE TRIGGER off;
CREATE TRIGGER replica AFTER INSERT ON watched REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION quiet(); ALTER TABLE watched ENABLE REPLICA TRIGGER replica;
CREATE TRIGGER always AFTER TRUNCATE ON watched EXECUTE FUNCTION quiet(); ALTER TABLE watched ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER checked AFTER INSERT OR DELETE ON watched FROM tables.hens DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION quiet(); COMMENT ON TRIGGER off ON watched IS 'off';
CREATE TRIGGER on_partitions AFTER INSERT ON tables.sold FOR EACH ROW EXECUTE FUNCTION quiet(); ALTER TABLE tables.sold_old DISABLE TRIGGER on_partitions;
CREATE VIEW seen AS SELECT * FROM watched; CREATE TRIGGER instead INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION quiet();
CREATE RULE "odd ""rule" AS ON UPDATE TO seen WHERE OLD.id > 3 DO ALSO (DELETE FROM watched WHERE id = -1; INSERT INTO watched VALUES (-2, 'it''s')); CREATE RULE told AS ON UPDATE TO watched DO ALSO NOTIFY "odd ""channel"; CREATE RULE no_delete AS ON DELETE TO seen DO INSTEAD NOTHING;
CREATE RULE off AS ON INSERT TO watched WHERE NEW.id < 0 DO INSTEAD NOTHING; ALTER TABLE watched DISABLE RULE off; COMMENT ON RULE no_delete ON seen IS 'a rule';

CREATE TABLE secret (who name DEFAULT current_user, what text); INSERT INTO secret VALUES ('nobody', 'hidden'), ('postgres', 'seen');
CREATE POLICY own ON secret AS RESTRICTIVE FOR SELECT TO :"reader", :"odd" USING (who = current_user AND EXISTS (SELECT FROM code.watched)); CREATE POLICY "odd ""policy" ON secret FOR INSERT WITH CHECK (what <> 'it''s');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY; COMMENT ON POLICY own ON secret IS 'a policy'; ALTER TABLE secret OWNER TO :"owner";
CREATE TABLE half_secret (a int); INSERT INTO half_secret VALUES (1); CREATE POLICY p ON half_secret USING (a > 5);

CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN IF tg_tag = 'CREATE TABLE' AND current_setting('museum.closed', true) = 'on' THEN RAISE EXCEPTION 'the museum is closed'; END IF; END$$;
CREATE EVENT TRIGGER ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION on_ddl(); CREATE EVENT TRIGGER ddl_off ON sql_drop EXECUTE FUNCTION on_ddl(); ALTER EVENT TRIGGER ddl_off DISABLE;
CREATE EVENT TRIGGER ddl_always ON ddl_command_start EXECUTE FUNCTION on_ddl(); ALTER EVENT TRIGGER ddl_always ENABLE ALWAYS; CREATE EVENT TRIGGER rewritten ON table_rewrite EXECUTE FUNCTION on_ddl(); COMMENT ON EVENT TRIGGER ddl IS 'watches';

CREATE TEXT SEARCH TEMPLATE plain_template (LEXIZE = dsimple_lexize, INIT = dsimple_init); CREATE TEXT SEARCH DICTIONARY short_words (TEMPLATE = pg_catalog.simple, STOPWORDS = 'english', ACCEPT = false); CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH CONFIGURATION own_words (PARSER = own_parser); ALTER TEXT SEARCH CONFIGURATION own_words ADD MAPPING FOR asciiword, word WITH short_words, english_stem; COMMENT ON TEXT SEARCH CONFIGURATION own_words IS 'words'; COMMENT ON TEXT SEARCH DICTIONARY short_words IS 'short';

CREATE EXTENSION postgres_fdw SCHEMA code; CREATE FOREIGN DATA WRAPPER dummy VALIDATOR postgresql_fdw_validator; CREATE SERVER "far ""away" TYPE 't' VERSION '1''2' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid', dbname 'it''s', port '1');
CREATE USER MAPPING FOR :"reader" SERVER "far ""away" OPTIONS (user 'them', password 'pass''word'); CREATE USER MAPPING FOR PUBLIC SERVER "far ""away"; COMMENT ON SERVER "far ""away" IS 'far';
CREATE FOREIGN TABLE outside (a int OPTIONS (column_name 'A') NOT NULL DEFAULT 3, b text CHECK (b <> ''), gone int) SERVER "far ""away" OPTIONS (schema_name 'x', table_name 'y "z"'); ALTER FOREIGN TABLE outside DROP COLUMN gone; COMMENT ON FOREIGN TABLE outside IS 'elsewhere';
CREATE FOREIGN TABLE outside_part PARTITION OF tables.by_expression FOR VALUES FROM ('p', 0) TO ('q', 0) SERVER "far ""away";

CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, delete'); CREATE PUBLICATION filtered FOR TABLE tables.columns (a, c, id) WHERE (a > 5), ONLY tables.parent1 WITH (publish_via_partition_root); CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA types, TABLE tables.hens WHERE (id > 0); COMMENT ON PUBLICATION filtered IS 'some'; CREATE PUBLICATION nothing; ALTER PUBLICATION nothing OWNER TO :"owner";

SELECT lo_from_bytea(4242, decode(repeat('00ff', 400000), 'hex')), lo_from_bytea(4243, ''), lo_create(4244), lo_from_bytea(4294967295, '\x5c2e0a'); SELECT lo_put(4244, 5000000, '\x01');
ALTER LARGE OBJECT 4242 OWNER TO :"owner"; ALTER LARGE OBJECT 4243 OWNER TO :"odd"; GRANT SELECT, UPDATE ON LARGE OBJECT 4242 TO :"reader" WITH GRANT OPTION; GRANT SELECT ON LARGE OBJECT 4244 TO PUBLIC; REVOKE ALL ON LARGE OBJECT 4243 FROM :"odd"; COMMENT ON LARGE OBJECT 4242 IS E'a scan\nof it'; COMMENT ON LARGE OBJECT 4244 IS 'with a hole';

GRANT USAGE ON SCHEMA code TO :"reader" WITH GRANT OPTION; GRANT CREATE ON SCHEMA types TO PUBLIC; GRANT SELECT (id, t), UPDATE (t) ON watched TO :"reader"; GRANT INSERT, TRIGGER, TRUNCATE ON watched TO :"odd" WITH GRANT OPTION; GRANT ALL ON ALL TABLES IN SCHEMA tables TO :"odd";
REVOKE ALL ON FUNCTION plain(text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION plain(text) TO :"reader"; GRANT EXECUTE ON PROCEDURE does TO :"odd"; GRANT USAGE, SELECT ON SEQUENCE tables.called TO :"reader"; GRANT USAGE ON LANGUAGE plother TO :"reader"; GRANT USAGE ON FOREIGN SERVER "far ""away" TO :"odd"; GRANT USAGE ON FOREIGN DATA WRAPPER dummy TO :"odd";
ALTER TABLE watched OWNER TO :"owner"; REVOKE INSERT, DELETE ON watched FROM :"owner"; ALTER TABLE tables.sold_2025 OWNER TO :"odd"; ALTER MATERIALIZED VIEW tables.first_mat OWNER TO :"owner"; GRANT SELECT ON tables.sold TO :"owner"; ALTER FUNCTION early OWNER TO :"odd"; ALTER SCHEMA "0" OWNER TO :"odd";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO :"reader"; REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC; GRANT SELECT ON pg_catalog.pg_authid TO :"reader"; GRANT SELECT (rolpassword) ON pg_catalog.pg_authid TO :"odd"; REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT ALL ON SCHEMA public TO :"odd"; COMMENT ON SCHEMA public IS 'ours';
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO :"reader"; ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA code GRANT EXECUTE ON FUNCTIONS TO :"odd" WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES FOR ROLE :"odd" REVOKE USAGE ON TYPES FROM PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" GRANT USAGE ON SCHEMAS TO :"reader"; ALTER DEFAULT PRIVILEGES IN SCHEMA "0" GRANT ALL ON SEQUENCES TO PUBLIC;
CREATE EXTENSION pg_stat_statements SCHEMA code; GRANT SELECT ON code.pg_stat_statements TO :"reader"; REVOKE ALL ON FUNCTION code.pg_stat_statements_reset FROM PUBLIC; COMMENT ON EXTENSION citext IS 'our words on it';
CREATE TABLE code.belongs (a int); ALTER EXTENSION pg_stat_statements ADD TABLE code.belongs;
