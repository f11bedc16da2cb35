-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY, a int);
DELIMITER //
CREATE TRIGGER /*!50003 tr4 */ AFTER UPDATE ON t FOR EACH ROW /*!50003 SET @x = 4 */ //
CREATE TRIGGER tr5 /* before */ BEFORE /* delete */ DELETE /*!50003 ON t FOR */ EACH ROW SET @x = 5 //
CREATE TRIGGER tr10 BEFORE INSERT ON t FOR EACH ROW # hash
SET NEW.a = 5 //
CREATE TRIGGER tr11 AFTER INSERT ON t FOR EACH ROW /* c1 *//* c2 */ SET @x = 5 //
