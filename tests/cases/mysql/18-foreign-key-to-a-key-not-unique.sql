-- From the MySQL and MariaDB review of November 2026, finding 18.
-- A refusal by preflight would be right as well.
-- servers: mysql-9
-- The review saw: legal in MySQL 8.0 and there after an upgrade (two tables of YetiForce's schema are so): preflight says go, prepare fails with error 6125 (load.sh and mysqldump too)
-- Right: SET SESSION restrict_fk_on_non_standard_key = OFF where the account may, else a refusal by preflight
-- ways: intact hand
SET SESSION restrict_fk_on_non_standard_key = OFF;
CREATE TABLE parent (id int PRIMARY KEY, grp int, KEY (grp));
CREATE TABLE child (id int PRIMARY KEY, g int, FOREIGN KEY (g) REFERENCES parent (grp));
INSERT INTO parent VALUES (1, 5), (2, 5);
INSERT INTO child VALUES (1, 5);
