-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- MySQL 9 tells the types of a view's columns by the session that made it.
-- benign: columns
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY, a varchar(50), d datetime, j longtext);
INSERT INTO t VALUES (1, 'x', '2024-01-01 10:00:00', '[1,2]'), (2, 'y', NULL, NULL);
CREATE FUNCTION f (x int) RETURNS int DETERMINISTIC RETURN x + 1;
CREATE FUNCTION `f ``odd` (x int) RETURNS int DETERMINISTIC RETURN x + 2;
CREATE VIEW q_unqualified AS SELECT f(id) AS f1 FROM t;
CREATE VIEW q_odd AS SELECT `f ``odd`(id) AS f1 FROM t;
CREATE VIEW r_on_q AS SELECT f1, f(f1) AS f2 FROM q_unqualified;
CREATE VIEW a_on_r AS SELECT MAX(f2) AS m FROM r_on_q;
CREATE VIEW w_union AS SELECT id FROM t UNION ALL SELECT id + 10 FROM t ORDER BY 1 LIMIT 3;
CREATE VIEW w_cte AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT n FROM c;
CREATE VIEW w_cte2 AS WITH t2 AS (SELECT * FROM t), t3 AS (SELECT * FROM t2) SELECT t3.a FROM t3 JOIN t ON t.id = t3.id;
CREATE VIEW w_win AS SELECT id, ROW_NUMBER() OVER (PARTITION BY a ORDER BY id DESC) AS rn, LAG(id, 1) OVER w AS l FROM t WINDOW w AS (ORDER BY id);
CREATE VIEW w_sub AS SELECT (SELECT MAX(id) FROM t t1 WHERE t1.id <= t.id) AS m, EXISTS (SELECT 1 FROM t) AS e FROM t;
CREATE VIEW w_derived AS SELECT x.n FROM (SELECT COUNT(*) AS n FROM t) x;
CREATE VIEW w_names AS SELECT 1, 'it''s', NULL, id + 1, `a` AS `b``c`, a AS `select`, a AS ` x`, a AS `d.e` FROM t;
CREATE VIEW w_cast AS SELECT CAST(a AS CHAR(10) CHARACTER SET latin1) AS c, CONVERT(a USING utf8mb3) AS u, _latin1'abc' AS l, _binary'x' AS b, x'4142' AS h, b'101' AS bi, N'n' AS n, a COLLATE utf8mb4_bin AS k FROM t;
CREATE VIEW w_date AS SELECT DATE'2024-01-01' AS d, TIMESTAMP'2024-01-01 10:00:00.5' AS ts, d + INTERVAL 1 DAY AS n, DATE_FORMAT(d, '%Y-%m \\ %% ''') AS f FROM t;
CREATE VIEW w_re AS SELECT a REGEXP '^[a-z]+\\.$' AS r, a LIKE 'x\\_%' ESCAPE '|' AS l, a LIKE '50\\%' AS p FROM t;
CREATE VIEW w_left AS SELECT t.id, u.a FROM t LEFT JOIN (t u RIGHT JOIN t w ON u.id = w.id) ON t.id = u.id;
CREATE VIEW w_using AS SELECT * FROM t JOIN (SELECT id, a AS a2 FROM t) u USING (id);
CREATE VIEW w_straight AS SELECT STRAIGHT_JOIN t.id FROM t JOIN t u ON t.id = u.id;
CREATE ALGORITHM = TEMPTABLE SQL SECURITY INVOKER VIEW w_temp AS SELECT DISTINCT a FROM t;
CREATE ALGORITHM = MERGE VIEW w_check AS SELECT * FROM t WHERE id < 100 WITH CASCADED CHECK OPTION;
CREATE VIEW w_local AS SELECT * FROM w_check WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW `w ``odd``.name` AS SELECT 1 AS one;
CREATE VIEW w_on_odd AS SELECT one FROM `w ``odd``.name`;
CREATE VIEW w_long AS SELECT id AS `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` FROM t;
CREATE VIEW w_group AS SELECT a, GROUP_CONCAT(id ORDER BY id DESC SEPARATOR ';\n') AS g, COUNT(DISTINCT id) AS c FROM t GROUP BY a WITH ROLLUP;
CREATE VIEW w_const AS SELECT 1e0 AS e, 1.50 AS d, -1 AS m, 18446744073709551615 AS big, TRUE AS t, NOT TRUE AS n, 1 IS NULL AS isn, 5 DIV 2 AS dv, 5 MOD 2 AS md, 1 <=> NULL AS ns, ~1 AS inv;
CREATE VIEW w_for AS SELECT id FROM t FOR UPDATE;
CREATE VIEW p AS SELECT id AS q FROM t;
CREATE VIEW q AS SELECT id AS p FROM t;
CREATE VIEW `as` AS SELECT id AS `x AS y` FROM t;
CREATE VIEW c_a AS SELECT id AS c_b FROM t;
CREATE VIEW c_b AS SELECT c_b AS c_a FROM c_a;
CREATE VIEW c_c AS SELECT c_a AS c_a FROM c_b;
--@mysql CREATE VIEW m_values AS VALUES ROW(1, 'a'), ROW(2, 'b');
--@mysql CREATE VIEW m_lateral AS SELECT t.id, x.m FROM t, LATERAL (SELECT MAX(u.id) AS m FROM t u WHERE u.id <= t.id) x;
--@mysql CREATE VIEW m_except AS SELECT id FROM t EXCEPT SELECT 2;
--@mysql CREATE VIEW m_table AS TABLE t;
--@mariadb CREATE VIEW m_except AS SELECT id FROM t EXCEPT SELECT 2;
--@mariadb CREATE SEQUENCE s;
--@mariadb CREATE VIEW m_values AS VALUES (1, 'a'), (2, 'b');
