-- From the MySQL and MariaDB review of November 2026: what held.
-- Right: it comes back as it was
-- lenient: what a server does not know is left out
CREATE TABLE c (id int PRIMARY KEY, t text) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 COMMENT='it''s \\ "c"\nline two; AUTO_INCREMENT=5 ENGINE=MyISAM' STATS_PERSISTENT=0 STATS_AUTO_RECALC=1 STATS_SAMPLE_PAGES=3 MAX_ROWS=1000 MIN_ROWS=2 AVG_ROW_LENGTH=50 CHECKSUM=1 PACK_KEYS=1 DELAY_KEY_WRITE=1;
INSERT INTO c VALUES (1, 'x');
CREATE TABLE d (id int PRIMARY KEY) ROW_FORMAT=REDUNDANT;
CREATE TABLE e (id int PRIMARY KEY, a varchar(100), b text, FULLTEXT KEY ft (a, b), KEY pre (b(10)), KEY usingh (a) USING HASH COMMENT 'it''s') COMMENT='';
INSERT INTO e VALUES (1, 'hello world', 'full text of it');
--@mysql CREATE TABLE ng (id int PRIMARY KEY, a text, FULLTEXT KEY ft (a) /*!50100 WITH PARSER ngram */ COMMENT 'ng', KEY iv ((1 + id)) INVISIBLE) COMPRESSION='zlib';
--@mysql INSERT INTO ng VALUES (1, '日本語');
--@mysql CREATE TABLE colopt (id int PRIMARY KEY, a int COLUMN_FORMAT FIXED, b int STORAGE MEMORY, d int INVISIBLE DEFAULT 5, e varchar(20) VISIBLE) AUTOEXTEND_SIZE=4M INSERT_METHOD=FIRST;
--@mysql CREATE TABLESPACE ts_sennight ADD DATAFILE 'ts_sennight.ibd';
--@mysql CREATE TABLE in_ts (id int PRIMARY KEY) TABLESPACE ts_sennight;
--@mysql INSERT INTO in_ts VALUES (1);
--@mysql CREATE TABLE in_sys (id int PRIMARY KEY) TABLESPACE innodb_system;
--@mysql CREATE TABLE hist (id int PRIMARY KEY, a int); 
--@mysql INSERT INTO hist VALUES (1, 1), (2, 2); 
--@mysql ANALYZE TABLE hist UPDATE HISTOGRAM ON a;
--@mariadb CREATE TABLE pc (id int PRIMARY KEY, t text COMPRESSED, u varchar(100) COMPRESSED=zlib, b blob COMPRESSED) PAGE_COMPRESSED=1 PAGE_COMPRESSION_LEVEL=3;
--@mariadb INSERT INTO pc VALUES (1, REPEAT('x', 500), 'y', x'00'), (2, '', NULL, '');
--@mariadb CREATE TABLE inv (id int PRIMARY KEY, a int INVISIBLE DEFAULT 5, b int INVISIBLE NOT NULL, KEY k (a) IGNORED) TRANSACTIONAL=1 ROW_FORMAT=DYNAMIC;
--@mariadb INSERT INTO inv (id, a, b) VALUES (1, 2, 3);
--@mariadb CREATE TABLE enc (id int PRIMARY KEY) ENCRYPTED=NO ENCRYPTION_KEY_ID=1;
--@mariadb CREATE TABLE dflt (id int PRIMARY KEY, a int DEFAULT (id * 2), b text DEFAULT 'x', c blob DEFAULT 'y', d datetime DEFAULT (NOW() + INTERVAL 1 DAY), e varchar(40) DEFAULT (UUID()), f json DEFAULT '{}', g point DEFAULT POINT(1, 1), h int CHECK (h > 0), i varchar(50) DEFAULT USER());
--@mariadb INSERT INTO dflt (id) VALUES (1);
--@mysql CREATE TABLE dflt (id int PRIMARY KEY, a int DEFAULT (id * 2), b text DEFAULT ('x'), c blob DEFAULT ('y'), d datetime DEFAULT (NOW() + INTERVAL 1 DAY), e varchar(40) DEFAULT (UUID()), f json DEFAULT (JSON_ARRAY('é')), g point DEFAULT (POINT(1, 1)), h int CHECK (h > 0), i varchar(50) DEFAULT (USER()));
--@mysql INSERT INTO dflt (id) VALUES (1);
CREATE TABLE gen (id int PRIMARY KEY, a varchar(50), v varchar(50) GENERATED ALWAYS AS (UPPER(a)) VIRTUAL COMMENT 'x', s int GENERATED ALWAYS AS (LENGTH(a)) STORED UNIQUE, g2 int GENERATED ALWAYS AS (s + 1) VIRTUAL, j longtext, jx varchar(20) GENERATED ALWAYS AS (JSON_UNQUOTE(JSON_EXTRACT(j, '$."a b"'))) VIRTUAL, KEY (v), KEY (jx));
INSERT INTO gen (id, a, j) VALUES (1, 'abé', '{"a b": "q"}'), (2, NULL, NULL);
CREATE TABLE empty_cols (g int GENERATED ALWAYS AS (5) VIRTUAL, h int);
INSERT INTO empty_cols (h) VALUES (1);
CREATE TABLE `desc` (id int, a int, PRIMARY KEY (id DESC), KEY (a DESC, id));
INSERT INTO `desc` VALUES (1, 2), (2, 1);
