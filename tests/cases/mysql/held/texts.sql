-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE charsets (id int PRIMARY KEY, a varchar(100) CHARACTER SET latin1, b varchar(100) CHARACTER SET cp1251, c varchar(100) CHARACTER SET utf8mb3, d varchar(100) CHARACTER SET utf8mb4, e varchar(100) CHARACTER SET ascii, f varchar(100) CHARACTER SET koi8r, g varchar(100) CHARACTER SET ucs2, h varchar(100) CHARACTER SET utf16le, i varchar(100) CHARACTER SET utf32, k varchar(100) CHARACTER SET cp1256, l varchar(100) CHARACTER SET binary, m char(20) CHARACTER SET cp1250, n longtext CHARACTER SET cp866, o text CHARACTER SET hebrew, p varchar(50) CHARACTER SET swe7, q varchar(50) CHARACTER SET dec8);
INSERT INTO charsets VALUES (1, 'é€', 'Щука №', '日本', '😀', 'plain', 'Щука', 'Ж日', '😀', '😀', 'مرحبا', x'ff00fe', 'žluť', 'Щука', 'שלום', 'abc', 'é');
INSERT INTO charsets (id, a) VALUES (2, CONVERT(x'818d8f909d' USING latin1));
CREATE TABLE nul (id int PRIMARY KEY, a varchar(50), b char(10), c text, d varbinary(20), e char(10) CHARACTER SET latin1, f varchar(20) CHARACTER SET cp1251);
INSERT INTO nul VALUES (1, 'a\0b', '\0', '\0\0\t\n\r\\', x'000000', 'x\0', '\0Щ'), (2, 'trail  ', 'tr ', ' lead', x'2020', ' ', '  '), (3, '', '', '', '', '', ''), (4, NULL, NULL, NULL, NULL, NULL, NULL), (5, '\\N', '\\N', '\\N', '\\N', 'NULL', '\\'), (6, CHAR(1,2,3,4,5,6,7,8,11,12,14,15,26,27,28,29,30,31,127 USING utf8mb4), CHAR(26 USING utf8mb4), REPEAT('\n', 100), x'1a0a0d5c27220009', '\r', '\r\n');
CREATE TABLE unicode (id int PRIMARY KEY, t text);
INSERT INTO unicode VALUES (1, CONVERT(x'efbbbf' USING utf8mb4)), (2, CONVERT(x'e2808be2808fe280ae' USING utf8mb4)), (3, '👩‍👩‍👧‍👦🏳️‍🌈'), (4, CONVERT(x'f48fbfbf' USING utf8mb4)), (5, CONVERT(x'efbfbd' USING utf8mb4)), (6, CONVERT(x'efbfbeefbfbf' USING utf8mb4)), (7, '?'), (8, CONVERT(x'c280c29f' USING utf8mb4)), (9, CONVERT(x'e280a8e280a9c285' USING utf8mb4)) ON DUPLICATE KEY UPDATE id = id;
CREATE TABLE question (id int PRIMARY KEY, a varchar(20) CHARACTER SET cp1251, b varchar(20) CHARACTER SET koi8r, c varchar(20) CHARACTER SET ascii);
INSERT INTO question VALUES (1, '?', '??', '?'), (2, 'Я?', 'Я?', '');
CREATE TABLE one_column (t text);
INSERT INTO one_column VALUES (''), (NULL), ('\n'), ('\\'), ('x'), (''), ('\t');
CREATE TABLE one_bit (b bit(1));
INSERT INTO one_bit VALUES (NULL), (0), (1);
CREATE TABLE one_blob (b blob);
INSERT INTO one_blob VALUES (''), (NULL), ('\n');
CREATE TABLE longs (id int PRIMARY KEY, t longtext, b longblob, m mediumtext);
INSERT INTO longs VALUES (1, REPEAT('é\t\n\\', 300000), REPEAT(x'00ff0a5c', 300000), REPEAT('x', 1000000));
