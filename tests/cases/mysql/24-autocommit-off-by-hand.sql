-- From the MySQL and MariaDB review of November 2026, finding 24.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- globals: autocommit=0
-- The review saw: load.sh ends with 0 and every table is empty: rows.sql never commits (the stock round trip has the rows)
-- Right: rows.sql says SET autocommit = 1; load.sh compares the numbers of rows with the manifest
-- ways: hand
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1), (2);
COMMIT;
