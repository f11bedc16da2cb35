-- From the MySQL and MariaDB review of November 2026, finding 29.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- The review saw: COMMENT 'c:\dir' of a routine or event made under NO_BACKSLASH_ESCAPES: backslashes doubled by load.sh (as by stock tools), quadrupled by a full restore
-- Right: doubled at most; best: unescape once where sql_mode says so
-- ways: intact hand
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
CREATE TABLE t (id int PRIMARY KEY);
CREATE PROCEDURE p () COMMENT 'c:\dir' SELECT 1;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' COMMENT 'c:\dir' DO SELECT 1;
