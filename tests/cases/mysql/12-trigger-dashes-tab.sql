-- From the MySQL and MariaDB review of November 2026, finding 12.
-- servers: mariadb-10.11 mariadb-11.8
-- The review saw: no dump at all: "its definition is not understood; report this as a bug": behind "--" the comment begins with a tab, not a blank
-- Right: dumped: "--" and any white space or control character begins a comment
-- ways: intact
CREATE TABLE t (id int PRIMARY KEY, a int);
DELIMITER //
CREATE TRIGGER tr BEFORE INSERT ON t --	a tab
FOR EACH ROW SET NEW.a = 7//
DELIMITER ;
