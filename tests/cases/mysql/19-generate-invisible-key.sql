-- From the MySQL and MariaDB review of November 2026, finding 19.
-- servers: mysql-9
-- globals: sql_generate_invisible_primary_key=ON
-- The review saw: preflight says go, prepare: TablesDiffer; load.sh makes the table with another column. (A server where the setting came after the table)
-- Right: SET SESSION sql_generate_invisible_primary_key = OFF
-- ways: intact hand
SET SESSION sql_generate_invisible_primary_key = OFF;
CREATE TABLE plain (a int, b varchar(20));
INSERT INTO plain VALUES (1, 'x'), (1, 'x');
