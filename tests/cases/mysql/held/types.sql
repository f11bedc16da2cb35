-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET time_zone = '+00:00';
CREATE TABLE nums (id int PRIMARY KEY, t tinyint, tu tinyint unsigned, bu bigint unsigned, bi bigint, d65 decimal(65,30), d0 decimal(65,0), dz decimal(20,10) unsigned zerofill, iz int(10) unsigned zerofill, bz bigint(20) zerofill, f float, fz float unsigned zerofill, f53 float(53), f102 float(10,2), db double, dbz double(20,5) zerofill, b1 bit(1), b64 bit(64), b63 bit(63), y year, bo boolean);
INSERT INTO nums VALUES (1, -128, 255, 18446744073709551615, -9223372036854775808, 99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999999999999999999999999999999999999999999999999, 1234567890.0987654321, 7, 42, 3.402823466e38, 1.5, 0.1, 12345678.9, 1.7976931348623157e308, 3.25, b'1', 18446744073709551615, 9223372036854775807, 2155, TRUE),
 (2, 127, 0, 0, 9223372036854775807, -99999999999999999999999999999999999.999999999999999999999999999999, -99999999999999999999999999999999999999999999999999999999999999999, 0, 0, 0, -3.402823466e38, 0, -1.7976931348623157e308, -0.01, 2.2250738585072014e-308, 0, b'0', 0, 0, 0, FALSE),
 (3, 0, 1, 1, 1, 0.000000000000000000000000000001, 0, 0.0000000001, 4294967295, 18446744073709551615, 1.401298464e-45, 1e10, 4.9406564584124654e-324, 99999999.99, 4.9406564584124654e-324, 99999999999999.99999, NULL, 1, 1, 1901, NULL),
 (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0.3, 0.1, 123456789012345678, 0.005, 0.30000000000000004, 1e-5, NULL, NULL, NULL, NULL, NULL),
 (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 16777217, 8388609.5, 9007199254740993, 1.005, 9007199254740993, 5e-324, NULL, NULL, NULL, NULL, NULL),
 (6, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1e-40, 33333333, 1e22, 2.675, 1e23, 1e15, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE enums (id int PRIMARY KEY, e enum('', 'a', 'A b', '0', '1', '2', 'x,y', 'it''s', '\\', '日本', '\t', ' lead', 'NULL', '\\N'), s set('a', 'b c', 'it''s', '日本', '0', '\\'), e2 enum('2', '1', '10'), z enum('zero', '007', '0'), s0 set('', 'q'), n enum('unsigned', '00') NOT NULL DEFAULT '00');
INSERT INTO enums VALUES (1, '0', '0', '1', '007', 'q', '00'), (2, '1', 'a,b c', '10', '0', '', 'unsigned'), (3, '2', 'it''s,日本,\\', '2', 'zero', 'q', '00'), (4, '\t', '', '2', NULL, NULL, '00'), (5, '\\N', NULL, '1', '007', '', '00'), (6, 'NULL', 'a', '1', '0', NULL, '00'), (7, ' lead', '\\', '10', '007', 'q', '00'), (8, '\\', '0,\\', '10', '007', 'q', '00'), (9, 'A b', 'a', '10', '0', NULL, '00');
CREATE TABLE enum_invalid (id int PRIMARY KEY, e enum('a', 'b'), s set('a', 'b'));
INSERT IGNORE INTO enum_invalid VALUES (1, 'nonsense', 'nonsense'), (2, 0, 0), (3, 'b', 'a,b');
CREATE TABLE zero_auto (id int AUTO_INCREMENT PRIMARY KEY, b blob, t text) AUTO_INCREMENT = 1000;
INSERT INTO zero_auto VALUES (0, x'00', 'zero'), (-5, x'ff', 'minus'), (7, '', '');
CREATE TABLE auto_second (a int, b int AUTO_INCREMENT, c varbinary(10), PRIMARY KEY (a, b), KEY (b)) AUTO_INCREMENT = 50;
INSERT INTO auto_second VALUES (1, 0, 'x'), (1, 3, NULL);
CREATE TABLE auto_float (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, v bit(3)) AUTO_INCREMENT = 18446744073709551610;
INSERT INTO auto_float VALUES (0, b'101'), (18446744073709551605, b'1');
CREATE TABLE defaults (id int PRIMARY KEY, a bit(8) DEFAULT b'1010', b binary(4) DEFAULT 0x00410A27, c varbinary(10) DEFAULT x'5C27', d decimal(5,2) DEFAULT '1.10', e enum('x', 'y') DEFAULT 'y', f float DEFAULT 1e-5, g varchar(20) DEFAULT '\0\t\n\\''"', h timestamp NULL DEFAULT '2024-03-31 02:30:00', i datetime(3) DEFAULT '2024-01-01 00:00:00.123', j timestamp(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), k year DEFAULT 2000, l time(2) DEFAULT '-01:02:03.45', m set('p', 'q') DEFAULT 'p,q', n char(3) DEFAULT '', o text, p int DEFAULT NULL, q int NOT NULL, r datetime ON UPDATE CURRENT_TIMESTAMP);
INSERT INTO defaults (id, q) VALUES (1, 5);
CREATE TABLE times (id int PRIMARY KEY, d date, dt datetime(6), ts timestamp(6) NULL, t time(6), y year);
INSERT INTO times VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '-838:59:59', 0), (2, '0000-01-01', '0000-01-01 00:00:00.000001', '1970-01-01 00:00:01.000001', '838:59:59', 1901), (3, '9999-12-31', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '-00:00:00.000001', 2155), (4, '2024-02-30', '2023-02-29 12:00:00', NULL, '00:00:00', 2000), (5, '2024-00-10', '2024-10-00 00:00:00', NULL, '100:00:00.5', NULL), (6, '0001-01-01', '0099-12-31 23:59:59', NULL, '-12:30:45.999999', NULL);
SET time_zone = 'SYSTEM';
CREATE TABLE dst (id int PRIMARY KEY, ts timestamp NULL, ts2 timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, g datetime GENERATED ALWAYS AS (ts + INTERVAL 1 HOUR) VIRTUAL);
SET time_zone = '+03:00';
INSERT INTO dst (id, ts, ts2) VALUES (1, '2024-10-27 02:30:00', '2024-03-31 02:30:00'), (2, '2011-03-27 02:30:00', '2014-10-26 01:30:00');
CREATE TABLE js (id int PRIMARY KEY, j json, k json);
INSERT INTO js VALUES (1, '{"b": 1, "a": 2, "a": 3, "dé": "\\u0000\\ud83d\\ude00", "n": 1.10, "e": 1e300}', NULL) ON DUPLICATE KEY UPDATE id = id;
INSERT INTO js VALUES (2, '{"n": 1.10, "big": 18446744073709551615, "neg": -9223372036854775808, "f": 0.1, "g": 1e308, "h": 1.0, "i": 100000000000000000000000, "t": "a\\tb\\\\", "z": -0.0}', '[]'), (3, 'null', '""'), (4, '"\\u0001\\n\\"\\/"', '1.50');
CREATE TABLE spatial_t (id int PRIMARY KEY, g geometry, p point, ls linestring, py polygon, mp multipoint, ml multilinestring, mpy multipolygon, gc geometrycollection);
INSERT INTO spatial_t VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(0.1 1e308)'), ST_GeomFromText('LINESTRING(0 0,1 1)'), ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 2,1 1))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'), ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),GEOMETRYCOLLECTION(POINT(2 2)))')), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE spatial_srid (id int PRIMARY KEY, g geometry NOT NULL, SPATIAL KEY (g));
INSERT INTO spatial_srid VALUES (1, ST_GeomFromText('POINT(10 20)', 4326)) ;
--@mysql CREATE TABLE spatial_ref (id int PRIMARY KEY, p point NOT NULL SRID 4326, q geometry SRID 0, SPATIAL KEY (p));
--@mysql INSERT INTO spatial_ref VALUES (1, ST_GeomFromText('POINT(10 20)', 4326), ST_GeomFromText('POINT(1 1)'));
--@mariadb CREATE TABLE spatial_ref (id int PRIMARY KEY, p point REF_SYSTEM_ID = 101, q geometry REF_SYSTEM_ID = 0);
--@mariadb INSERT INTO spatial_ref VALUES (1, POINT(1, 2), NULL);
--@mysql CREATE TABLE fx (id int PRIMARY KEY, j json, a varchar(20), KEY k1 ((lower(a))), KEY k2 ((CAST(j->'$.x' AS unsigned array))), UNIQUE KEY k3 ((a collate utf8mb4_bin)), KEY k4 ((json_value(j, '$.n' returning decimal(10,2)))), KEY k5 (a DESC), KEY k6 (a(5)) INVISIBLE, KEY k7 ((CAST(j->>'$.s' AS char(20) array))));
--@mysql INSERT INTO fx VALUES (1, '{"x": [1, 2], "n": 1.5, "s": ["a"]}', 'Ab'), (2, NULL, NULL);
--@mysql CREATE TABLE vec (id int PRIMARY KEY, v vector(4) NOT NULL, w vector(16383));
--@mysql INSERT INTO vec VALUES (1, TO_VECTOR('[1,-2.5,3.4e38,1e-30]'), NULL);
