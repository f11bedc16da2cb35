-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- servers: mariadb-10.11 mariadb-11.8
-- lenient: what a server does not know is left out
CREATE TABLE MixedCase (Id int PRIMARY KEY, ColName varchar(10));
INSERT INTO MixedCase VALUES (1, 'x');
CREATE VIEW ViewName AS SELECT Id, ColName FROM MixedCase;
CREATE TRIGGER TrName BEFORE INSERT ON MixedCase FOR EACH ROW SET NEW.ColName = 'y';
CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES MixedCase (Id));
CREATE FUNCTION FnName () RETURNS int DETERMINISTIC RETURN 1;
