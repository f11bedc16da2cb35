-- From the MySQL and MariaDB review of November 2026, finding 32.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- The review saw: the stored date 2024-01-01 comes back as 2023-12-31 (recomputed in UTC), every step ok (stock tools the same); nothing says so
-- Right: a warning for STORED columns that depend on the session, or docs/mysql.md's list "not in it"
-- ways: intact
SET time_zone = '+05:00';
CREATE TABLE t (id int PRIMARY KEY, ts timestamp NULL, d date GENERATED ALWAYS AS (CAST(ts AS date)) STORED);
INSERT INTO t (id, ts) VALUES (1, '2024-01-01 02:00:00');
