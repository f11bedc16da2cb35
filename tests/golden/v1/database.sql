-- The golden database. The roles golden_owner and golden_reader exist; golden_owner owns the database.
SET ROLE golden_owner;
CREATE SCHEMA museum;
COMMENT ON SCHEMA museum IS 'what a tenant may have';
SET search_path = museum;
CREATE TYPE mood AS ENUM ('sad', 'ok', E'very\thappy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE contacts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail text, born date, boss bigint,
    label text GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO contacts (name, mail, born) VALUES
    ('Anna Müller', 'anna@example.org', '1980-02-29'), (E'tab\tline\nback\\slash \\N', NULL, NULL),
    ('=SUM(A1)', '', '0044-03-15 BC'), ('日本語 🎉', 'x;y"z', 'infinity');
INSERT INTO contacts (name) SELECT 'contact ' || i FROM generate_series(5, 500) i;
CREATE TABLE deals (id serial PRIMARY KEY, contact bigint REFERENCES contacts, amount numeric(12, 2), at timestamptz);
INSERT INTO deals (contact, amount, at) SELECT i, i * 1.01, '2026-03-29 01:00+00'::timestamptz + i * interval '1 hour' FROM generate_series(1, 500) i;
ALTER TABLE contacts ADD FOREIGN KEY (boss) REFERENCES deals DEFERRABLE;
UPDATE contacts SET boss = id WHERE id % 7 = 0;
CREATE TABLE kinds (i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, m money, b boolean, c "char", ch char(5), v varchar(9),
    by bytea, t time, tz timetz, iv interval, u uuid, j json, jb jsonb, x xml, ip inet, net cidr, mac macaddr, bits bit varying,
    p point, box box, r int4range, mr datemultirange, ts tsvector, a int[], aa text[][], e mood, d positive, co pair, l pg_lsn);
INSERT INTO kinds VALUES
    (-32768, 9223372036854775807, 16777216, 0.1, 1e100, '-12.34', true, 'x', 'ab', 'v', '\x00ff5c0a', '24:00', '01:02:03+05:30', '1 mon -3 days',
     '0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab', '{"k" : 1}', '{"k": "\u00e9\t"}', '<a>&amp;</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03',
     B'10101', '(1,2)', '((1,2),(3,4))', '[1,5)', '{[2026-01-01,2026-02-01)}', 'fat cat', '{1,NULL,3}', '{{a,"\""},{NULL,""}}', E'very\thappy', 7,
     '(1,"a,b")', '16/B374D848'),
    (NULL, NULL, 'NaN', '-Infinity', 'NaN', '92233720368547758.07', NULL, '', '', '', '', NULL, NULL, '-178000000 years', NULL, 'null', '[]', NULL,
     '::1', NULL, NULL, '', NULL, NULL, 'empty', '{}', '', '{}', '{}', NULL, NULL, '(,)', NULL);
CREATE TABLE "we""ird ? [a-z]* 名 $1" ("Col ""x""" int, "select" text);
INSERT INTO "we""ird ? [a-z]* 名 $1" VALUES (1, 'odd');
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE empty (i int);
CREATE TABLE day (d date, n int) PARTITION BY RANGE (d);
CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE day_2 PARTITION OF day FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO day SELECT '2026-01-05'::date + i, i FROM generate_series(0, 40) i;
CREATE TABLE parent (i int);
CREATE TABLE child (j int) INHERITS (parent);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 3);
CREATE MATERIALIZED VIEW sums AS SELECT d, sum(n) FROM day GROUP BY d;
CREATE VIEW adults AS SELECT * FROM contacts WHERE born < '2000-01-01';
CREATE SEQUENCE counted START 5 INCREMENT 3;
SELECT nextval('counted');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON deals FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE deals ENABLE ROW LEVEL SECURITY;
CREATE POLICY cheap ON deals TO golden_reader USING (amount < 100);
GRANT USAGE ON SCHEMA museum TO golden_reader;
GRANT SELECT ON contacts, deals TO golden_reader;
CREATE INDEX ON contacts (lower(name));
COMMENT ON COLUMN contacts.label IS 'it''s generated';
SELECT lo_from_bytea(4711, '\xdeadbeef');
RESET ROLE;
