-- From the MySQL and MariaDB review of November 2026, finding 21.
-- A refusal by preflight would be right as well.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- globals: sql_require_primary_key=ON innodb_force_primary_key=ON
-- The review saw: preflight says go, prepare fails (3750, 1173) at a table that was made before the setting (stock tools fail too)
-- Right: preflight refuses and names the tables, or the session switches it off where it may
-- ways: intact hand
CREATE TABLE nopk (a int, b varchar(20));
INSERT INTO nopk VALUES (1, 'x'), (1, 'x');
