-- From the PostgreSQL review of November 2026; finding: none: it held.
-- In a database made by: CREATE DATABASE … TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'
-- (a) rows that are no UTF-8; (b) a name that is no UTF-8.
-- Right: the bytes come back.
-- ways: restore hand
-- database: TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'
SET client_encoding = 'SQL_ASCII';
CREATE TABLE bytes (t text); INSERT INTO bytes VALUES (E'\xff\xfe caf\xe9');
