-- What only MySQL has.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE vectors (id int PRIMARY KEY, v vector(3), w vector);
INSERT INTO vectors VALUES (1, TO_VECTOR('[1,2.5,-3e10]'), TO_VECTOR('[0.1]')), (2, NULL, NULL);
CREATE TABLE indexed (id int PRIMARY KEY, j json, a int, KEY multi ((CAST(j->'$.tags' AS unsigned array))), KEY expr ((a + 1)), KEY unseen (a) INVISIBLE);
INSERT INTO indexed VALUES (1, '{"tags": [1, 2, 3]}', 5);
CREATE TABLE `checked` (id int PRIMARY KEY, a int, CONSTRAINT not_now CHECK (a > 100) NOT ENFORCED);
INSERT INTO `checked` VALUES (1, 1);
CREATE TABLE geo (id int PRIMARY KEY, p point NOT NULL SRID 4326, SPATIAL KEY (p));
INSERT INTO geo VALUES (1, ST_GeomFromText('POINT(52.5 13.4)', 4326));
CREATE TABLE collated (a varchar(10) COLLATE utf8mb4_0900_as_cs, b varchar(10) COLLATE utf8mb4_ja_0900_as_cs, c varchar(10) COLLATE utf8mb4_vi_0900_ai_ci);
INSERT INTO collated VALUES ('a', 'あ', 'đ');
