-- What PostgreSQL 16 and 17 added. Run by psql as a superuser after code.sql on 17 and later.
CREATE SCHEMA since17;
SET search_path = since17, public;
CREATE TABLE forever (i interval); INSERT INTO forever VALUES ('infinity'), ('-infinity');
CREATE COLLATION ruled (provider = icu, locale = 'und', rules = '&V << w <<< W'); CREATE COLLATION built_in (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE collated (a text COLLATE ruled, b text COLLATE built_in); INSERT INTO collated VALUES ('w', 'ä'), ('v', 'z'); CREATE INDEX ON collated (a); CREATE INDEX ON collated (b);
CREATE TABLE ids (id int GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k); CREATE TABLE ids_1 PARTITION OF ids FOR VALUES IN (1); INSERT INTO ids (k) VALUES (1), (1);
CREATE TABLE stored (a text STORAGE PLAIN, s text STORAGE DEFAULT); INSERT INTO stored VALUES ('x', 'y');
CREATE TABLE deferred (a int, b int, EXCLUDE USING gist (a WITH =)) ; INSERT INTO deferred VALUES (1, 2);
CREATE TABLE parted_exclusion (a int4range, k int, EXCLUDE USING gist (k WITH =, a WITH &&)) PARTITION BY LIST (k); CREATE TABLE parted_exclusion_1 PARTITION OF parted_exclusion FOR VALUES IN (1); INSERT INTO parted_exclusion VALUES ('[1,2)', 1);
CREATE VIEW from_json AS SELECT * FROM JSON_TABLE('[{"a": 1}, {"a": 2}]'::jsonb, '$[*]' COLUMNS (n FOR ORDINALITY, a int PATH '$.a' DEFAULT 0 ON EMPTY)) t;
CREATE VIEW json_functions AS SELECT JSON_QUERY(jsonb '[1]', '$' WITH WRAPPER) AS q, JSON_VALUE(jsonb '1', '$' RETURNING int) AS v, JSON_OBJECT('a': 1 NULL ON NULL) AS o, '1' IS JSON ARRAY AS no;
CREATE FUNCTION merges() RETURNS int LANGUAGE sql BEGIN ATOMIC MERGE INTO tables.empty e USING tables.hens h ON e.a = h.id WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN MATCHED THEN DO NOTHING RETURNING merge_action() = 'x', 1; SELECT 1; END;
CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RETURN; END$$; CREATE EVENT TRIGGER welcome ON login EXECUTE FUNCTION on_login();
GRANT MAINTAIN ON tables.columns TO :"reader"; ALTER DATABASE :"db" SET event_triggers = on; ALTER DATABASE :"db" SET transaction_timeout = '300ms'; ALTER DATABASE :"db" SET restrict_nonsystem_relation_kind = 'view, foreign-table';
CREATE TABLE octal (c "char"); INSERT INTO octal SELECT ('\' || lpad(to_oct(i), 3, '0'))::"char" FROM generate_series(128, 255) i;
