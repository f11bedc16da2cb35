-- From the MySQL and MariaDB review of November 2026, finding 38.
-- servers: mysql-9
-- The review saw: MySQL 9.7 prints `MATERIALIZED /*(BY ENGINE=…)*/ DEFINER=…`: the "(" ends the look for DEFINER, so it stays in schema.sql (docs: left out) and is not in the header
-- Right: left out, kept in the comment line
-- ways: intact
CREATE TABLE t (id int PRIMARY KEY);
CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;
