-- From the MySQL and MariaDB review of November 2026, finding 04.
-- servers: mysql-9
-- benign: rows of log
-- The review saw: dump ok, verify ok; prepare and drill always end in RowsDiffer: no backup of such a table can ever be restored in place
-- Right: restored as docs/mysql.md says ("comes back as a number, as with mysqldump"), the comparison allowing for it; mysqldump loads
-- ways: intact drill
CREATE TABLE item (id int PRIMARY KEY, price decimal(10,2));
INSERT INTO item VALUES (1, 9.90);
CREATE TABLE log (id int PRIMARY KEY, doc json);
INSERT INTO log SELECT id, JSON_OBJECT('price', price) FROM item;
