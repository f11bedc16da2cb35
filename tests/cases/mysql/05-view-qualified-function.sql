-- From the MySQL and MariaDB review of November 2026, finding 05.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- database: c_05_view_qualified_function
-- The review saw: the live function and tables were dropped (what the restore is for): the backup has both, yet the view is left out with one line in
--        the log; prepare and cutover end ok, preflight says nothing
-- Right: the view comes back; `live`.`f` is the database's own function, as the table names are
-- ways: intact ruin
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1), (2);
CREATE FUNCTION f (x int) RETURNS int DETERMINISTIC RETURN x + 1;
CREATE VIEW v AS SELECT c_05_view_qualified_function.f(id) AS f1 FROM t;
