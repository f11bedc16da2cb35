-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY, v varbinary(10), g varbinary(20) GENERATED ALWAYS AS (concat(v, x'ff')) VIRTUAL, CHECK (v <> x'ff00'));
INSERT INTO t (id, v) VALUES (1, 'a');
CREATE VIEW w AS SELECT id FROM t WHERE v <> x'ff' AND v <> _binary'ÿ';
CREATE TABLE p (v varbinary(10)) PARTITION BY LIST COLUMNS (v) (PARTITION p0 VALUES IN (x'ff00'), PARTITION p1 VALUES IN ('b'));
INSERT INTO p VALUES (x'ff00'), ('b');
DELIMITER //
CREATE PROCEDURE pr () SELECT x'ff', _binary'x' //
DELIMITER ;
