-- From the MySQL and MariaDB review of November 2026, finding 13.
-- servers: mysql-9
-- The review saw: the library is in no backup and no warning says so; load.sh makes a database without it (mysqldump 9 has it)
-- Right: in the backup (information_schema.LIBRARIES, SHOW CREATE LIBRARY), or at least named in the warnings
-- ways: intact ruin hand
-- check: SELECT 'the library is lost' FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = '@DB@')
CREATE TABLE t (id int PRIMARY KEY);
CREATE LIBRARY lib1 COMMENT 'it''s' LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n } $$;
