-- The museum of the MySQL family: what every server of it can hold. Loaded into an empty database by the stock client.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
SET SESSION time_zone = '+00:00';
-- An old database: what its objects do not say of themselves is its own.
ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_general_ci;

CREATE TABLE numbers (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  t tinyint, tu tinyint unsigned, s smallint, m mediumint, i int, iu int unsigned, b bigint, bu bigint unsigned,
  z int(6) zerofill, dz decimal(8,3) unsigned zerofill,
  d decimal(65,30), f float, fu float unsigned, dbl double, dm double(12,3), fm float(7,3), bits bit(1), bits12 bit(12), bits64 bit(64)
) AUTO_INCREMENT = 500;
INSERT INTO numbers VALUES (0, -128, 255, -32768, -8388608, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615,
  7, 1.5, -12345678901234567890123456789012345.123456789012345678901234567890, 16777216, 16777217, 0.1, 123456789.123, 1234.567, b'1', b'101010101010', b'1111111100000000101010100000101011111111000010100000100100000000');
INSERT INTO numbers VALUES (18446744073709551600, 127, 0, 32767, 8388607, 2147483647, 0, 9223372036854775807, 0, 0, 0, 0, 3.4028234e38, 1e-38, 1e-300, 0, 0, b'0', 0, 0);
INSERT INTO numbers (id, f, dbl) VALUES (3, 0.1, 1.7976931348623157e308), (4, 1.17549435e-38, 2.2250738585072014e-308), (5, -0e0, -0e0), (6, 33554431, 4.9e-324), (7, 1e10, 0.1234567890123456);
INSERT INTO numbers (id) VALUES (8);

CREATE TABLE texts (
  id int PRIMARY KEY,
  c char(10), v varchar(200), t text, mt mediumtext, lt longtext,
  l1 varchar(50) CHARACTER SET latin1, b2 varchar(50) CHARACTER SET latin2, sj varchar(50) CHARACTER SET sjis, gb varchar(50) CHARACTER SET gbk, u3 varchar(50) CHARACTER SET utf8mb3, u16 varchar(50) CHARACTER SET utf16, a varchar(50) CHARACTER SET ascii, ru varchar(50) CHARACTER SET cp1251,
  bin varchar(50) COLLATE utf8mb4_bin, e enum('a','b,c','d''e','日本','') , s set('x','y','z ''w'), e1 enum('ä','ö') CHARACTER SET latin1
) CHARACTER SET utf8mb4;
INSERT INTO texts VALUES (1, 'c', 'é😀 "q" ''s'' \\N \\ \t tab\r\nline\nend', 'line1\nline2\t"q" \\N \\ '' \0 \b \Z end', '\f\v', '\\', 'é€ÿ', 'žluť', 'テスト', '中文', 'ěšč', '𝄞😀', 'plain', 'Щука', 'A', 'b,c', 'x,z ''w', 'ö');
INSERT INTO texts VALUES (2, '', '', '', '', '', '', '', '', '', '', '', '', '', '', 'd''e', '', 'ä');
INSERT INTO texts (id) VALUES (3);
INSERT INTO texts (id, v, t, e) VALUES (4, 'NULL', '\\N', 'a'), (5, '\\.', '\n', '日本'), (6, '=1+1', CONCAT(CHAR(11 USING utf8mb4), CHAR(12 USING utf8mb4), CHAR(8 USING utf8mb4), CHAR(13 USING utf8mb4)), ''), (7, '%_`"$(x)', '-- sennight rows\nDELIMITER ;;', 'nonsense');

CREATE TABLE bytes (
  id int PRIMARY KEY, b binary(4), vb varbinary(20), tb tinyblob, bl blob, mb mediumblob, lb longblob,
  g geometry, p point, ls linestring, pg polygon, mp multipoint, gc geometrycollection
);
INSERT INTO bytes VALUES (1, x'00', x'00ff0a0d5c27221a09', x'', x'00ff0a0d5c27221a', REPEAT(x'0a', 300), REPEAT(x'5c4e', 70000),
  ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(0.1 -2)', 0), ST_GeomFromText('LINESTRING(0 0,1 1,2 2.5)'), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'));
INSERT INTO bytes (id, b, vb) VALUES (2, x'5c4e', x'5c4e'), (3, '', '');
INSERT INTO bytes (id, g) VALUES (4, ST_GeomFromText('POINT(13.4 52.5)', 4326));

CREATE TABLE times (
  id int PRIMARY KEY, d date, dt datetime, dt6 datetime(6), ts timestamp NULL, ts6 timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  t time, t3 time(3), y year
);
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
INSERT INTO times VALUES (1, '2024-02-29', '2024-10-27 01:30:00', '2024-01-01 00:00:00.123456', '2024-10-27 01:30:00', '2024-03-31 01:30:00.000001', '-838:59:59', '838:59:58.999', 2155);
INSERT INTO times VALUES (2, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '00:00:00', '-00:00:00.001', 0000);
INSERT INTO times VALUES (3, '2026-00-00', '2026-02-00 10:00:00', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', '12:00', '00:00:00.5', 1901);
INSERT INTO times (id, d, dt, ts6) VALUES (4, '2023-02-31', '2023-04-31 00:00:00', NULL);
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';

CREATE TABLE zero_defaults (id int PRIMARY KEY, d date NOT NULL DEFAULT '0000-00-00', dt datetime NOT NULL DEFAULT '0000-00-00 00:00:00', at timestamp NOT NULL DEFAULT '0000-00-00 00:00:00');
INSERT INTO zero_defaults (id) VALUES (1);

CREATE TABLE documents (id int PRIMARY KEY, j json, n json NOT NULL);
INSERT INTO documents VALUES (1, '{"a": "é\\n😀", "b": [1, 2.50, 1e10, null, true], "c": {"": "\\u0000"}}', '[]'), (2, NULL, 'null'), (3, '"text"', '{}');

CREATE TABLE `odd ``name``.t` (`select` int, `a"b` int, `c'd` text COMMENT 'it''s; \\ AUTO_INCREMENT=5 ) x', `日本` int, ` x` int DEFAULT 5, KEY `k``k` (`a"b` DESC, `c'd`(7))) COMMENT = 'odd ''comment''
of two lines';
INSERT INTO `odd ``name``.t` VALUES (1, 2, 'x', 3, 4), (1, 2, 'x', 3, 4), (NULL, NULL, NULL, NULL, NULL);

CREATE TABLE shaped (
  id int PRIMARY KEY, a int NOT NULL DEFAULT 3, b int GENERATED ALWAYS AS (a * 2) STORED, c varchar(20) GENERATED ALWAYS AS (CONCAT('x', a)) VIRTUAL,
  hidden int INVISIBLE DEFAULT 5, e int DEFAULT (1 + 1), u char(36) DEFAULT (UUID()), CONSTRAINT positive CHECK (a > 0), KEY (c), KEY gen (b, a)
);
INSERT INTO shaped (id, a, hidden, e, u) VALUES (1, 7, 9, 1, 'u'), (2, 1, DEFAULT, DEFAULT, 'v');

SET SESSION foreign_key_checks = 0;
CREATE TABLE child (id int PRIMARY KEY, parent int, other bigint unsigned, KEY (other), CONSTRAINT to_zparent FOREIGN KEY (parent) REFERENCES zparent (id) ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE zparent (id int PRIMARY KEY, name varchar(20) UNIQUE, FULLTEXT KEY words (name)) ;
INSERT INTO zparent VALUES (1, 'one'), (2, 'two');
INSERT INTO child VALUES (1, 1, 0), (2, NULL, NULL), (3, 99, 5);
SET SESSION foreign_key_checks = 1;

CREATE TABLE by_range (id int NOT NULL, at date NOT NULL, v varchar(10), PRIMARY KEY (id, at))
  PARTITION BY RANGE (YEAR(at)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2
  (PARTITION p2024 VALUES LESS THAN (2025), PARTITION p2025 VALUES LESS THAN (2026) COMMENT = 'last', PARTITION later VALUES LESS THAN MAXVALUE);
INSERT INTO by_range VALUES (1, '2024-01-01', 'a'), (2, '2025-01-01', 'b'), (3, '2026-01-01', 'c'), (4, '2024-06-06', 'd');
CREATE TABLE by_list (k int NOT NULL, v int) PARTITION BY LIST (k) (PARTITION few VALUES IN (1, 2), PARTITION none VALUES IN (NULL, 9));
INSERT INTO by_list VALUES (1, 1), (9, NULL);
CREATE TABLE by_key (id int PRIMARY KEY, v int) PARTITION BY KEY (id) PARTITIONS 3;
INSERT INTO by_key VALUES (1, 1), (2, 2), (3, 3);

CREATE TABLE old_charset (a varchar(10), b varchar(10) COLLATE latin1_german2_ci) DEFAULT CHARACTER SET latin1 COLLATE latin1_bin ROW_FORMAT = DYNAMIC;
INSERT INTO old_charset VALUES ('Ä', 'ß');
CREATE TABLE nothing (id int);
CREATE TABLE __sennight_own (id int);
INSERT INTO __sennight_own VALUES (1);
CREATE TABLE log (at int AUTO_INCREMENT PRIMARY KEY, what varchar(100)) CHARACTER SET utf8mb4;
CREATE TABLE watched (id int PRIMARY KEY, v int);

DELIMITER ;;
CREATE FUNCTION plus_one (x int) RETURNS int DETERMINISTIC COMMENT 'it''s' RETURN x + 1;;
CREATE FUNCTION shout (`t``x` varchar(20) CHARACTER SET utf8mb4) RETURNS varchar(30) CHARACTER SET utf8mb4 NO SQL SQL SECURITY INVOKER
BEGIN
  -- a comment; with a delimiter
  DECLARE r varchar(30) CHARACTER SET utf8mb4 DEFAULT 'é😀;';
  RETURN CONCAT(UPPER(`t``x`), '!', r);
END;;
CREATE PROCEDURE both_ways (IN a int, INOUT b int, OUT c text) MODIFIES SQL DATA
BEGIN
  DECLARE EXIT HANDLER FOR SQLEXCEPTION ROLLBACK;
  SET b = b + plus_one(a);
  SELECT GROUP_CONCAT(id ORDER BY id) INTO c FROM numbers WHERE id < 10;
END;;
SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES';;
CREATE PROCEDURE "of another mode" () SELECT "id" || 'a\b' FROM "numbers";;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';;
CREATE TRIGGER watched_first BEFORE INSERT ON watched FOR EACH ROW SET NEW.v = NEW.v + 1;;
CREATE TRIGGER watched_second BEFORE INSERT ON watched FOR EACH ROW FOLLOWS watched_first SET NEW.v = NEW.v * 2;;
CREATE TRIGGER `watched zeroth` BEFORE INSERT ON watched FOR EACH ROW PRECEDES watched_first SET NEW.v = COALESCE(NEW.v, 0);;
CREATE TRIGGER watched_after
AFTER UPDATE -- for each row
ON watched FOR EACH ROW
BEGIN
  INSERT INTO log (what) VALUES (CONCAT('é😀 ', OLD.v, ' -> ', NEW.v));
  IF NEW.v > 100 THEN SET @big = 1; END IF;
END;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' ENDS '2037-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT 'ENABLE; it''s' DO
BEGIN
  DELETE FROM log WHERE at < 0;
END;;
CREATE EVENT once_later ON SCHEDULE AT '2035-05-05 05:05:05' DO SET @x = 1;;
CREATE EVENT `off` ON SCHEDULE EVERY '1:30' HOUR_MINUTE DISABLE DO SET @x = 'DISABLE';;
DELIMITER ;
INSERT INTO watched VALUES (1, 1), (2, NULL);
UPDATE watched SET v = 5 WHERE id = 1;

CREATE VIEW zz_base AS SELECT id, plus_one(i) AS `next one` FROM numbers WHERE id < 100;
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW aa_top (a, b) AS SELECT z.id, z.`next one` FROM zz_base z WHERE z.id <> 'it''s "é😀" -- no' WITH LOCAL CHECK OPTION;
CREATE VIEW mm_middle AS SELECT COUNT(*) AS n, MAX(a) AS aa_top FROM aa_top GROUP BY b HAVING n > 0;
CREATE VIEW ab_last AS SELECT m.n, (SELECT MAX(id) FROM zz_base) AS top FROM mm_middle m;
