-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE a (id int PRIMARY KEY, b int, self int, KEY (b), CONSTRAINT a_self FOREIGN KEY (self) REFERENCES a (id) ON DELETE SET NULL);
CREATE TABLE b (id int PRIMARY KEY, a int, CONSTRAINT `fk ``odd` FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE);
ALTER TABLE a ADD CONSTRAINT a_to_b FOREIGN KEY (b) REFERENCES b (id) ON DELETE RESTRICT;
CREATE TABLE z_parent (x int, y varchar(20), z int, PRIMARY KEY (x, y), UNIQUE KEY uz (z));
CREATE TABLE c_child (id int PRIMARY KEY, x int, y varchar(20), z int, FOREIGN KEY (x, y) REFERENCES z_parent (x, y) ON UPDATE CASCADE, FOREIGN KEY (z) REFERENCES z_parent (z) ON DELETE SET NULL);
INSERT INTO z_parent VALUES (1, 'a', 9), (2, 'b', NULL);
INSERT INTO c_child VALUES (1, 1, 'a', 9), (2, NULL, 'zz', NULL);
INSERT INTO a VALUES (1, NULL, NULL); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1, self = 1;
SET foreign_key_checks = 0;
INSERT INTO b VALUES (2, 99);


SET foreign_key_checks = 1;
CREATE TABLE checks (id int PRIMARY KEY, a int, b int CHECK (b <> 7), CONSTRAINT `ch ``k` CHECK (a < b OR a IS NULL), CONSTRAINT ch2 CHECK (a IN (1, 2, 3)));
INSERT INTO checks VALUES (1, 1, 5), (2, NULL, NULL);
--@mariadb SET check_constraint_checks = 0;
--@mariadb INSERT INTO checks VALUES (3, 99, 7);
CREATE TABLE gen_fk (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a + 0) STORED, KEY (g), FOREIGN KEY (g) REFERENCES a (id));
INSERT INTO gen_fk (id, a) VALUES (1, 1);
CREATE TRIGGER tr BEFORE DELETE ON a FOR EACH ROW SET @x = 1;
CREATE TRIGGER tr2 AFTER UPDATE ON b FOR EACH ROW UPDATE z_parent SET z = z;
