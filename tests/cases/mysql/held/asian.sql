-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
SET sql_mode='';
CREATE TABLE t (id int PRIMARY KEY, a varchar(20) CHARACTER SET sjis, b varchar(20) CHARACTER SET gbk, c varchar(20) CHARACTER SET big5, d varchar(20) CHARACTER SET eucjpms, e varchar(20) CHARACTER SET cp932, f varchar(20) CHARACTER SET ujis, g varchar(20) CHARACTER SET euckr, h varchar(20) CHARACTER SET tis620);
INSERT INTO t VALUES (1, 'テスト', '中文', '中文', 'テスト', '～－', 'テスト', '한국', 'ไทย'), (2, 'ソ表', '\\', '功', '', 'ソ', '', '', '');
