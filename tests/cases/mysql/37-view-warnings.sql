-- From the MySQL and MariaDB review of November 2026, finding 37.
-- servers: mariadb-10.11 mariadb-11.8
-- The review saw: dumped by an account with the very rights of docs/mysql.md (no EXECUTE), views that call a function are warned of in the manifest and by every preflight
--        ("cannot be read … a restore leaves out those that cannot be made"), though they work and come back
-- Right: no warning; or docs grant EXECUTE
-- ways: intact
-- no warning: cannot be read
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1);
CREATE FUNCTION f (x int) RETURNS int DETERMINISTIC RETURN x + 1;
CREATE VIEW v AS SELECT f(id) AS f1 FROM t;
