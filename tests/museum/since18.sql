-- What PostgreSQL 18 added. Run by psql as a superuser after since17.sql on 18 and later.
CREATE SCHEMA since18;
SET search_path = since18, public;
CREATE TABLE virtual (a int, v int GENERATED ALWAYS AS (a * 2) VIRTUAL, s int GENERATED ALWAYS AS (a * 3) STORED, w text GENERATED ALWAYS AS (upper('x' || a)), b int); INSERT INTO virtual (a, b) SELECT n, -n FROM generate_series(1, 100) n;
CREATE TABLE virtual_only (v int GENERATED ALWAYS AS (1)); INSERT INTO virtual_only DEFAULT VALUES;
CREATE TABLE temporal (id int, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS)); INSERT INTO temporal VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,2026-03-01)');
CREATE TABLE temporal_ref (id int, valid daterange, FOREIGN KEY (id, PERIOD valid) REFERENCES temporal (id, PERIOD valid)); INSERT INTO temporal_ref VALUES (1, '[2026-01-10,2026-02-10)');
CREATE TABLE lax (a int, b int, c int CONSTRAINT named_not_null NOT NULL, CONSTRAINT unenforced CHECK (a > 0) NOT ENFORCED, CONSTRAINT no_hen FOREIGN KEY (b) REFERENCES tables.hens NOT ENFORCED); INSERT INTO lax VALUES (-1, 99, 1);
CREATE TABLE late_not_null (a int, b int); INSERT INTO late_not_null VALUES (NULL, 1); ALTER TABLE late_not_null ADD CONSTRAINT later NOT NULL a NOT VALID, ADD CONSTRAINT b_nn NOT NULL b NO INHERIT; COMMENT ON CONSTRAINT later ON late_not_null IS 'not valid';
CREATE TABLE late_child () INHERITS (late_not_null); INSERT INTO late_child VALUES (1, NULL);
CREATE TABLE uuids (u uuid DEFAULT uuidv7()); INSERT INTO uuids DEFAULT VALUES; CREATE COLLATION fast (provider = builtin, locale = 'PG_UNICODE_FAST'); CREATE TABLE folded (t text COLLATE fast, c text GENERATED ALWAYS AS (casefold(t)) STORED); INSERT INTO folded VALUES ('Straße');
CREATE PUBLICATION with_generated FOR TABLE virtual (a, s) WITH (publish_generated_columns = stored);
CREATE INDEX ON virtual USING gin ((ARRAY[a, b])); ALTER DATABASE :"db" SET file_copy_method = 'copy';
