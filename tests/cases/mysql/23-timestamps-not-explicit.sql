-- From the MySQL and MariaDB review of November 2026, finding 23.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- globals: explicit_defaults_for_timestamp=OFF
-- The review saw: every step ok; column a has become DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP (stock tools the same): each later UPDATE overwrites it
-- Right: SET SESSION explicit_defaults_for_timestamp = ON while tables are made; compare definitions after prepare
-- ways: intact
SET SESSION explicit_defaults_for_timestamp = ON;
CREATE TABLE t (id int PRIMARY KEY, a timestamp NOT NULL, b timestamp NULL);
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', NULL);
