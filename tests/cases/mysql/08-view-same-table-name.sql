-- From the MySQL and MariaDB review of November 2026, finding 08.
-- servers: mariadb-10.11 mariadb-11.8
-- database: c_08_view_same_table_name
-- The review saw: prepare fails (error 1052, column ambiguous), load.sh too: `live`.`t`.`id` was cut to `t`.`id` beside `shared_lists`.`t`; the stock tool's
--        round trip works. (On MySQL 9 mysqldump fails as well: the server itself prints it so.)
-- Right: made; cut the name of tables too (`live`.`t` -> `t` AS, or leave both)
-- ways: intact hand
CREATE DATABASE IF NOT EXISTS shared_lists;
CREATE TABLE IF NOT EXISTS shared_lists.t (id int PRIMARY KEY, a varchar(9));
REPLACE INTO shared_lists.t VALUES (1, 'theirs');
CREATE TABLE t (id int PRIMARY KEY, a varchar(9));
INSERT INTO t VALUES (1, 'ours');
CREATE VIEW v AS SELECT c_08_view_same_table_name.t.id, shared_lists.t.a FROM t JOIN shared_lists.t ON shared_lists.t.id = c_08_view_same_table_name.t.id;
