-- From the MySQL and MariaDB review of November 2026, finding 11.
-- servers: mariadb-10.11
-- The review saw: no dump at all: "the answer has another shape than asked for" (SHOW CREATE TABLE holds bytes that are not UTF-8), retried for ever
-- Right: dumped; take SHOW CREATE as bytes, or write such a default as x'…'
-- ways: intact
CREATE TABLE t (id int PRIMARY KEY, k binary(4) DEFAULT x'00ff80fe', v varbinary(10) DEFAULT 0xC0DE);
INSERT INTO t (id) VALUES (1);
