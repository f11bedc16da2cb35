-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY, e enum('a', 'b') CHARACTER SET binary, s set('p', 'q') CHARACTER SET binary);
INSERT INTO t VALUES (1, 'b', 'p,q'), (2, NULL, '');
