-- From the MySQL and MariaDB review of November 2026, finding 03.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- globals: sql_select_limit=50
-- The review saw: dump ok, verify ok, 50 rows of 200 in the backup; a full restore replaces 200 live rows by 50, ok (stock tools cut as well)
-- Right: 200 rows. "SET SESSION sql_select_limit = DEFAULT" takes the GLOBAL value; say 18446744073709551615
-- ways: intact
CREATE TABLE d (n int PRIMARY KEY);
INSERT INTO d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT a.n + 10 * b.n FROM d a, d b UNION ALL SELECT 100 + a.n + 10 * b.n FROM d a, d b;
