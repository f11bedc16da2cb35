-- From the PostgreSQL review of November 2026, finding F13.
-- (tools of 17 and later) so many long names that they go to pg_dump by a file, a large object, and a name with a backslash (or CR, or an empty
-- line): that table's rows are in the archive as well, FullRestore fails (RowsDiffer: 2, not 1), load.sh loads them twice without a word.
-- Right: every row comes back once.
-- ways: restore hand
CREATE SCHEMA sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss;
DO $$ BEGIN FOR i IN 1..6600 LOOP EXECUTE format('CREATE TABLE sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss.%I (id int)', lpad(i::text, 6, '0') || repeat('t', 57)); END LOOP; END $$;
SELECT lo_from_bytea(0, 'x');
CREATE TABLE "back\slash" (a int); INSERT INTO "back\slash" VALUES (1);
