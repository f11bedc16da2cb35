-- From the PostgreSQL review of November 2026, finding F5.
-- In a database made by: CREATE DATABASE … TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'sv' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'
-- Right: the locale comes back by every way.
-- ways: restore hand recipe
-- database: TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'sv' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'
CREATE TABLE words (w text PRIMARY KEY);
INSERT INTO words VALUES ('ö'), ('z'), ('a'), ('ä');
CREATE TABLE by_word (w text) PARTITION BY RANGE (w);
CREATE TABLE by_word_1 PARTITION OF by_word FOR VALUES FROM (MINVALUE) TO ('b');
CREATE TABLE by_word_2 PARTITION OF by_word FOR VALUES FROM ('b') TO (MAXVALUE);
INSERT INTO by_word VALUES ('a'), ('ä'), ('z'), ('Z'), ('A');
