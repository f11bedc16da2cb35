-- From the MySQL and MariaDB review of November 2026, finding 10.
-- servers: mysql-9
-- The review saw: every step ok; the view answers mojibake (one round by load.sh, two by a full restore). myloader and many dumps SET NAMES binary
-- Right: the view answers as before, as after mysqldump
-- ways: intact hand
SET NAMES binary;
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1);
CREATE VIEW v AS SELECT id, 'é' AS l FROM t;
