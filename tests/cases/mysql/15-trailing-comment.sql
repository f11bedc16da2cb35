-- From the MySQL and MariaDB review of November 2026, finding 15.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- The review saw: load.sh fails: the delimiter stands inside the comment that ends the body (mariadb-dump's round trip works, mysqldump's does not)
-- Right: a line end before the delimiter
-- ways: intact hand
CREATE TABLE t (id int PRIMARY KEY, a int);
DELIMITER //
CREATE PROCEDURE p1 () BEGIN SELECT 1; END -- the end of p1
//
CREATE FUNCTION f1 () RETURNS int DETERMINISTIC RETURN 1 # one
//
CREATE TRIGGER tr1 BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 5 -- it's done
//
DELIMITER ;
