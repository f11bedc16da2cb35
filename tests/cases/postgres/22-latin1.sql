-- From the PostgreSQL review of November 2026, finding F16.
-- In a database made by: CREATE DATABASE … TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'. Save as UTF-8.
-- Right: every way brings the names back.
-- ways: restore hand recipe
-- database: TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
SET client_encoding = 'UTF8';
CREATE TABLE "größe" ("à la" text); INSERT INTO "größe" VALUES ('ñ'), ('ÿ');
