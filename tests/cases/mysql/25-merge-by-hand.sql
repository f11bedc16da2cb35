-- From the MySQL and MariaDB review of November 2026, finding 25.
-- servers: mariadb-10.11 mariadb-11.8 mysql-9
-- non-transactional: yes
-- The review saw: (allowNonTransactional) rows of a MERGE table are copied again and load.sh inserts them into its members: m2 has 4 rows instead of 1, ends with 0;
--        without INSERT_METHOD it stops ("read only"). Stock tools copy no rows of MERGE
-- Right: no rows of MERGE, FEDERATED, BLACKHOLE, SPIDER, CONNECT … in a backup
-- ways: hand
CREATE TABLE m1 (id int, KEY (id)) ENGINE=MyISAM;
CREATE TABLE m2 (id int, KEY (id)) ENGINE=MyISAM;
INSERT INTO m1 VALUES (1), (2);
INSERT INTO m2 VALUES (3);
CREATE TABLE m_all (id int, KEY (id)) ENGINE=MERGE UNION=(m1, m2) INSERT_METHOD=LAST;
