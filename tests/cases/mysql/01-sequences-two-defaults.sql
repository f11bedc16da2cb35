-- From the MySQL and MariaDB review of November 2026, finding 01.
-- servers: mariadb-10.11 mariadb-11.8
-- The review saw: cutover ends Unknown/Unsettled, recover-cutover too; accounts stay locked, triggers gone, defaults draw from the vanished <live>__r… database
-- Right: cutover ends ok. All columns of a table whose default names a sequence must go into ONE ALTER TABLE
--        (ALTER COLUMN a SET DEFAULT …, ALTER COLUMN b SET DEFAULT … works on both versions, one column at a time is error 1146)
-- ways: intact ruin
CREATE SEQUENCE s1;
CREATE SEQUENCE s2;
CREATE TABLE t (id int PRIMARY KEY, a bigint DEFAULT NEXTVAL(s1), b bigint DEFAULT NEXTVAL(s2));
INSERT INTO t (id) VALUES (1);
