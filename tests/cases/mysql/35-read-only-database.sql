-- From the MySQL and MariaDB review of November 2026, finding 35.
-- servers: mysql-9
-- The review saw: ALTER DATABASE … READ ONLY = 1: preflight says go, prepare fills, cutover fails (3989) and is taken back
-- Right: preflight refuses
-- ways: intact
-- before restore: ALTER DATABASE @DB@ READ ONLY = 1;
-- teardown: ALTER DATABASE @DB@ READ ONLY = 0;
CREATE TABLE t (id int PRIMARY KEY);
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SELECT 1;
