-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY, a int);
DELIMITER //
CREATE TRIGGER tr8 BEFORE UPDATE ON t --
FOR EACH ROW SET NEW.a = 8//
