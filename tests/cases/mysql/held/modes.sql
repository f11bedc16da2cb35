-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(100), b varchar(100));
INSERT INTO t (a, b) VALUES ('x', 'y'), ('a\\b', 'it''s');
SET sql_mode = 'ANSI_QUOTES,NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE "q""uoted" ("co""l" int PRIMARY KEY, "b`t" int DEFAULT 5, "c'c" varchar(20) DEFAULT 'a"b' COMMENT 'x`y"z');
INSERT INTO "q""uoted" VALUES (0, 1, 'z'), (1, 2, 'zz');
DELIMITER //
CREATE TRIGGER "tr""1" BEFORE INSERT ON "t" FOR EACH ROW BEGIN SET NEW."a" = concat(NEW."a", '"'); END//
CREATE TRIGGER "before insert on" BEFORE INSERT ON "t" FOR EACH ROW FOLLOWS "tr""1" SET NEW."b" = 'for each row'//
CREATE FUNCTION "f""n" ("p""1" varchar(20)) RETURNS varchar(40) DETERMINISTIC COMMENT 'x"y' RETURN "p""1"//
SET sql_mode = 'NO_BACKSLASH_ESCAPES'//
CREATE PROCEDURE p_nbe () SELECT 'a\', "b\", b FROM t//
CREATE FUNCTION f_nbe () RETURNS varchar(20) DETERMINISTIC RETURN '\'//
CREATE VIEW v_nbe AS SELECT id, 'c:\new\' AS path, concat(a, '\') AS w FROM t WHERE a <> '\'//
CREATE TRIGGER tr_nbe BEFORE UPDATE ON t FOR EACH ROW SET NEW.a = '\'//
CREATE EVENT e_nbe ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = '\'//
CREATE TABLE t_nbe (id int PRIMARY KEY, a varchar(20) DEFAULT 'c:\' COMMENT '\', e enum('\', 'a\b'), g varchar(30) GENERATED ALWAYS AS (concat(a, '\')) VIRTUAL, CHECK (a <> '\\')) COMMENT 'z:\'//
INSERT INTO t_nbe (id, a, e) VALUES (1, '\x', '\'), (2, DEFAULT, 'a\b')//
SET sql_mode = 'PIPES_AS_CONCAT'//
CREATE VIEW v_pipes AS SELECT id, a || b AS ab FROM t//
CREATE PROCEDURE p_pipes () SELECT 'a' || 'b'//
CREATE TABLE t_pipes (id int PRIMARY KEY, a varchar(20), g varchar(50) GENERATED ALWAYS AS (a || '-' || a) STORED, CHECK (a || 'x' <> 'yx'))//
INSERT INTO t_pipes (id, a) VALUES (1, 'q')//
SET sql_mode = 'HIGH_NOT_PRECEDENCE'//
CREATE VIEW v_not AS SELECT id, NOT id BETWEEN 2 AND 5 AS n FROM t//
CREATE TABLE t_not (id int PRIMARY KEY, g int GENERATED ALWAYS AS (NOT id BETWEEN 2 AND 5) STORED)//
INSERT INTO t_not (id) VALUES (0), (1), (3)//
SET sql_mode = 'IGNORE_SPACE'//
CREATE PROCEDURE p_space () SELECT count (*) FROM t//
CREATE VIEW v_space AS SELECT max (id) AS m FROM t//
SET sql_mode = 'REAL_AS_FLOAT'//
CREATE TABLE t_real (id int PRIMARY KEY, r real, d double)//
INSERT INTO t_real VALUES (1, 0.1, 0.1)//
CREATE FUNCTION f_real (r real) RETURNS real DETERMINISTIC RETURN r//
SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'//
CREATE TABLE t_pad (id int PRIMARY KEY, c char(10), g varchar(20) GENERATED ALWAYS AS (concat(id, '!')) STORED)//
INSERT INTO t_pad (id, c) VALUES (1, 'a'), (2, 'b ')//
CREATE FUNCTION f_pad () RETURNS char(5) DETERMINISTIC RETURN 'a'//
SET sql_mode = 'ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,STRICT_ALL_TABLES'//
CREATE PROCEDURE p_strict () SELECT '2023-02-31' + INTERVAL 0 DAY//
CREATE TABLE t_div (id int PRIMARY KEY, g int GENERATED ALWAYS AS (10 / NULLIF(id, 0)) STORED)//
INSERT INTO t_div (id) VALUES (0), (3)//
SET sql_mode = ''//
CREATE TABLE t_lax (id int PRIMARY KEY, d date DEFAULT '0000-00-00', n int NOT NULL)//
INSERT INTO t_lax (id) VALUES (1)//
DELIMITER ;
