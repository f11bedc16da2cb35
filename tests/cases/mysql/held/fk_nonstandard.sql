-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- servers: mariadb-10.11 mariadb-11.8
-- lenient: what a server does not know is left out
--@mysql SET SESSION restrict_fk_on_non_standard_key = OFF;
CREATE TABLE parent (id int PRIMARY KEY, grp int, code varchar(10), KEY (grp), KEY (code, id));
CREATE TABLE child (id int PRIMARY KEY, g int, c varchar(10), FOREIGN KEY (g) REFERENCES parent (grp), FOREIGN KEY (c) REFERENCES parent (code));
CREATE TABLE z_child (id int PRIMARY KEY, g int, FOREIGN KEY (g) REFERENCES parent (grp));
INSERT INTO parent VALUES (1, 5, 'x'), (2, 5, 'y');
INSERT INTO child VALUES (1, 5, 'x');
