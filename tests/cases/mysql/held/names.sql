-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE `back``tick` (`co``l` int PRIMARY KEY, `c.d` int, `e f` int, `"q"` int, `'s'` int, `%` int, `日本語` int, `Ünï` int, `;;` int, `#` int, `--` int, `/*x*/` int, `\\` int, `a\tb` int, `@c0` int, `null` int, `DEFAULT` int, CHECK (`co``l` > 0));
INSERT INTO `back``tick` VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
CREATE TABLE `a.b` (id int PRIMARY KEY); INSERT INTO `a.b` VALUES (1);
CREATE TABLE `a b` (id int PRIMARY KEY); INSERT INTO `a b` VALUES (2);
CREATE TABLE `a/b` (id int PRIMARY KEY); INSERT INTO `a/b` VALUES (3);
CREATE TABLE `a\\b` (id int PRIMARY KEY); INSERT INTO `a\\b` VALUES (4);
CREATE TABLE `..` (id int PRIMARY KEY); INSERT INTO `..` VALUES (5);
CREATE TABLE `../../etc/passwd` (id int PRIMARY KEY); INSERT INTO `../../etc/passwd` VALUES (6);
CREATE TABLE `-` (id int PRIMARY KEY); INSERT INTO `-` VALUES (7);
CREATE TABLE `'` (id int PRIMARY KEY); INSERT INTO `'` VALUES (8);
CREATE TABLE `"` (id int PRIMARY KEY); INSERT INTO `"` VALUES (9);
CREATE TABLE `;;` (id int PRIMARY KEY); INSERT INTO `;;` VALUES (10);
CREATE TABLE `;` (id int PRIMARY KEY); INSERT INTO `;` VALUES (11);
CREATE TABLE `таблица Щ` (id int PRIMARY KEY, `столбец` varchar(20) DEFAULT 'ё'); INSERT INTO `таблица Щ` VALUES (12, 'я');
CREATE TABLE `日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語` (id int PRIMARY KEY); INSERT INTO `日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語` VALUES (13);
CREATE TABLE `select` (`from` int PRIMARY KEY); INSERT INTO `select` VALUES (14);
CREATE TABLE `1` (`2` int PRIMARY KEY); INSERT INTO `1` VALUES (15);
CREATE TABLE `1e5` (id int PRIMARY KEY); INSERT INTO `1e5` VALUES (15);
CREATE TABLE `$$` (id int PRIMARY KEY); INSERT INTO `$$` VALUES (15);
CREATE TABLE `%s%d%n{}` (id int PRIMARY KEY); INSERT INTO `%s%d%n{}` VALUES (16);
CREATE TABLE `MixedCase` (id int PRIMARY KEY); INSERT INTO `MixedCase` VALUES (17);
CREATE TABLE `mixedcase` (id int PRIMARY KEY); INSERT INTO `mixedcase` VALUES (18);
CREATE TABLE `Ä` (id int PRIMARY KEY); INSERT INTO `Ä` VALUES (19);
CREATE TABLE `A` (id int PRIMARY KEY); INSERT INTO `A` VALUES (20);
CREATE TABLE `é` (id int PRIMARY KEY); CREATE TABLE `è` (id int PRIMARY KEY); CREATE TABLE `e` (id int PRIMARY KEY);
INSERT INTO `é` VALUES (21); INSERT INTO `è` VALUES (22); INSERT INTO `e` VALUES (23);
CREATE TABLE `t__sennight_x` (id int PRIMARY KEY); INSERT INTO `t__sennight_x` VALUES (24);
CREATE TABLE `_sennight_x` (id int PRIMARY KEY); INSERT INTO `_sennight_x` VALUES (25);
CREATE TABLE `CON` (id int PRIMARY KEY); INSERT INTO `CON` VALUES (26);
CREATE TABLE `rows.sql` (id int PRIMARY KEY); INSERT INTO `rows.sql` VALUES (27);
CREATE TABLE `x$(touch pwned)` (id int PRIMARY KEY); INSERT INTO `x$(touch pwned)` VALUES (28);
CREATE TABLE `line\nbreak` (id int PRIMARY KEY); INSERT INTO `line\nbreak` VALUES (29);
CREATE VIEW `v ``.;;` AS SELECT `co``l` AS `x``y` FROM `back``tick`;
CREATE VIEW `в\"ид` AS SELECT `столбец` FROM `таблица Щ`;
DELIMITER //
CREATE PROCEDURE `p ``;; '"` () SELECT 1//
CREATE FUNCTION `f.é` () RETURNS int DETERMINISTIC RETURN 1//
CREATE TRIGGER `tr ``.;; "` BEFORE INSERT ON `back``tick` FOR EACH ROW SET NEW.`c.d` = 1//
CREATE TRIGGER `трг` BEFORE INSERT ON `таблица Щ` FOR EACH ROW SET NEW.`столбец` = 'x'//
CREATE EVENT `e ``.;; "` ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 1//
DELIMITER ;
