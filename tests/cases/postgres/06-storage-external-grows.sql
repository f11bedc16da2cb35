-- From the PostgreSQL review of November 2026, finding F4.
-- Text was stored compressed, the column was set to EXTERNAL afterwards: loaded anew it takes many times the space, and `prepare`
-- takes that for a runaway (1.5 times the copied database's size). Right: it is restored (stock does it).
-- ways: restore
CREATE TABLE docs (id int, body text);
INSERT INTO docs SELECT n, repeat('sennight ', 20000) FROM generate_series(1, 1500) n;  -- 270 MB of text, 4 MB on disk
ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
