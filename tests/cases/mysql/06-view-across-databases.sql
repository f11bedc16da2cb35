-- From the MySQL and MariaDB review of November 2026, finding 06.
-- servers: mariadb-10.11 mariadb-11.8
-- The review saw: the live table is gone: the view that joins it with another database's table is left out, and every view on it; all steps ok
-- Right: the views come back. MariaDB prints `live`.`t` for the own table as soon as a view names another database (or JSON_TABLE): it must
--        lose the database's name like columns do
-- ways: intact ruin
CREATE DATABASE IF NOT EXISTS shared_lists;
CREATE TABLE IF NOT EXISTS shared_lists.city (id int PRIMARY KEY, name varchar(50));
REPLACE INTO shared_lists.city VALUES (1, 'Hanoi');
CREATE TABLE t (id int PRIMARY KEY, city int);
INSERT INTO t VALUES (1, 1), (2, NULL);
CREATE VIEW v_join AS SELECT t.id, c.name FROM t LEFT JOIN shared_lists.city c ON c.id = t.city;
CREATE VIEW v_on_it AS SELECT name, COUNT(*) AS n FROM v_join GROUP BY name;
