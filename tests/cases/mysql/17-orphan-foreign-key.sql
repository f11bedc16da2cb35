-- From the MySQL and MariaDB review of November 2026, finding 17.
-- A refusal by preflight would be right as well.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- The review saw: after the swap the key of the live table refers to `<live>__r…`.`parent_gone`; the next preflight refuses the tenant (ForeignKeysAcross)
-- Right: it refers to `parent_gone` of the own database, or preflight says that it cannot
-- ways: intact
-- check: SELECT CONCAT('the key refers to another database') FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '@DB@' AND UNIQUE_CONSTRAINT_SCHEMA <> '@DB@'
SET foreign_key_checks = 0;
CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent_gone (id));
INSERT INTO child VALUES (1, 5);
