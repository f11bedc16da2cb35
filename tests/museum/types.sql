-- Every built-in type with the values at its edges, and every kind of type that a tenant can make. Run by psql as a superuser;
-- :"owner", :"reader" and :"odd" are roles of this run.
CREATE SCHEMA types AUTHORIZATION :"owner";
SET search_path = types, public;
CREATE EXTENSION hstore SCHEMA public;
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION ltree SCHEMA public;
CREATE EXTENSION pg_trgm SCHEMA public;
CREATE EXTENSION btree_gist SCHEMA public;
CREATE EXTENSION cube SCHEMA public;
CREATE EXTENSION isn SCHEMA public;
CREATE EXTENSION intarray SCHEMA public;
CREATE EXTENSION seg SCHEMA public;

CREATE TABLE numbers (i2 smallint, i4 integer, i8 bigint, n numeric, np numeric(38, 10), nn numeric(5, -3), f4 real, f8 double precision,
    m money, b boolean, o oid);
INSERT INTO numbers VALUES
    (-32768, -2147483648, -9223372036854775808, 'NaN', 0.0000000001, 99000, 'NaN', 'NaN', '-92233720368547758.08', true, 4294967295),
    (32767, 2147483647, 9223372036854775807, 'Infinity', -9999999999999999999999999999.9999999999, -99499, 'Infinity', '-Infinity',
     '92233720368547758.07', false, 0),
    (0, 0, 0, '-Infinity', 0, 0, '-0', '-0', 0, NULL, 1),
    (NULL, NULL, NULL, 1e-16383, NULL, NULL, 1.4e-45, 4.9e-324, NULL, NULL, NULL),
    (1, 1, 1, repeat('9', 1000)::numeric, 1, 1000, 3.4028235e38, 1.7976931348623157e308, '0.01', true, 16384),
    (1, 1, 1, ('0.' || repeat('0', 900) || '1')::numeric, 1.5, 1, 1.17549435e-38, 2.2250738585072014e-308, '-0.01', true, 16384),
    (1, 1, 1, 1.10, 1.10, 1500, 16777217, 0.1::float8 + 0.2, 1.1, false, 2),
    (1, 1, 1, 1.100, 1.10, 1500, 0.1, 9007199254740993, 1.1, false, 2),
    (1, 1, 1, 10::numeric ^ 130000, 1, 1, 5.877472e-39, 2.225073858507201e-308, 1, false, 3);

CREATE TABLE times (d date, t time, tp time(0), tz timetz, ts timestamp, tsp timestamp(3), tstz timestamptz, iv interval,
    ivy interval year to month, ivs interval second(2));
INSERT INTO times VALUES
    ('infinity', '24:00:00', '23:59:59.6', '24:00:00-15:59', 'infinity', 'infinity', 'infinity', '178000000 years', '1-2', '1.005'),
    ('-infinity', '00:00:00', '00:00', '00:00:00+15:59', '-infinity', '-infinity', '-infinity', '-178000000 years', '-1-2', '-1.5'),
    ('4713-11-24 BC', '23:59:59.999999', NULL, '12:00:00.000001+05:30', '4713-11-24 00:00:00 BC', '0001-01-01 BC',
     '4713-11-24 00:00:00+00 BC', '-1 year -2 mons +3 days -04:05:06.000007', NULL, NULL),
    ('5874897-12-31', '12:34:56.1', NULL, '12:00:00-00:30:15', '294276-12-31 23:59:59.999999', '2026-03-29 02:30:00.1235',
     '294276-12-31 23:59:59.999999+00', '1 mon', NULL, NULL),
    ('0044-03-15 BC', NULL, NULL, NULL, '1582-10-10', NULL, '1883-11-18 12:03:57-04:56:02', '30 days', NULL, NULL),
    ('2000-02-29', NULL, NULL, NULL, '2000-02-29 00:00:00', NULL, '2026-03-29 02:30:00 Europe/Berlin', '24:00:00', NULL, NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2562047788:00:54.775807', NULL, NULL);

CREATE TABLE texts (id int, t text, v varchar(5), c char(5), c1 "char", n name, ci citext);
INSERT INTO texts VALUES
    (1, E'tab\tnew\nline\rreturn\\back\bspace\ffeed\vvert\x01\x7f', E'\\N', E'\\.', '\', 'name', 'MiXeD'),
    (2, '', '', '', '', '', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL), (4, E'\\.', E'\\n', ' x ', 'é'::bytea::text::"char", repeat('n', 63), 'x'),
    (5, E'\u00a0\u200b\ufeff\U0001F600 e\u0301 é', 'ÄÖÜßé', 'äöü', E'\t', 'ü', 'straße'), (6, E'\r\n', E'\n', E'\t', E'\n', E'a\nb', E'\t'),
    (7, repeat('wide ', 20000), 'NULL', 'NULL', 'N', 'NULL', 'null'), (8, E'"', '''', ',', ';', '"', '""'), (9, '$1', '%s', '{}', '{', '$$', '()');
INSERT INTO texts SELECT 1000 + i, chr(i), chr(i), chr(i), chr(i)::"char", chr(i), chr(i) FROM generate_series(1, 127) i;

CREATE TABLE bytes (id int, b bytea, bt bit(9), bv bit varying(70), bn bit varying, u uuid);
INSERT INTO bytes VALUES
    (1, '', B'000000000', B'', B'', '00000000-0000-0000-0000-000000000000'),
    (2, decode(repeat('00', 100), 'hex'), B'111111111', repeat('10', 35)::bit varying, repeat('1', 5000)::bit varying, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
    (3, E'\\\\x41', B'010101010', NULL, NULL, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), (4, NULL, NULL, NULL, NULL, NULL);
INSERT INTO bytes (id, b) SELECT 100 + i, set_byte('\x00', 0, i) FROM generate_series(0, 255) i;
INSERT INTO bytes (id, b) SELECT 1000, string_agg(decode(md5(i::text), 'hex'), '') FROM generate_series(1, 20000) i;

CREATE TABLE networks (i inet, c cidr, m macaddr, m8 macaddr8);
INSERT INTO networks VALUES ('0.0.0.0/0', '0.0.0.0/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00'),
    ('255.255.255.255', '10.1.2.3/32', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff'), ('::', '::/0', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05'),
    ('2001:db8::1/64', '2001:db8::/32', NULL, NULL), ('::ffff:1.2.3.4', '::ffff:1.2.3.0/120', NULL, NULL), ('192.168.1.5/24', '192.168.1', NULL, NULL);

CREATE TABLE shapes (p point, l line, s lseg, b box, pa path, po polygon, c circle, cu cube, sg seg);
INSERT INTO shapes VALUES ('(NaN,Infinity)', '{1,-1,0}', '[(0,0),(1e-300,1e300)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,0),(1,1))', '<(0,0),0>', '(0,0),(1,2)', '1.0 .. 2.00'),
    ('(-0,0.1)', '{0,1,-2.5}', '[(0.1,0.2),(0.3,0.4)]', '(0.1,0.2),(-Infinity,-0)', '((0,0),(1,1),(2,0))', '((1e-10,2))', '<(0.1,0.2),Infinity>', '(1,2,3)', '~5'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '<0.5 .. ');

CREATE TABLE documents (j json, jb jsonb, jp jsonpath, x xml, tv tsvector, tq tsquery, h hstore, lt ltree, lq lquery, isbn isbn13);
INSERT INTO documents VALUES
    ('{"b" : 1,  "a":[ ], "b":2, "\u0041\n":null}', '{"b": 1, "a": [], "b": 2}', '$."a b"[*] ? (@.x like_regex "^\\d" flag "i")', '<a b="c">t&amp;<!-- c --></a>',
     $$'it''s':1A,2B 'back\\slash':3 'sp ace':4$$, $$'a b' & !( 'c':*AB | d ) <2> e$$, '"a b"=>"c\"d", "n"=>NULL, ""=>""', 'Top.Science.Astro_1', '*.Sci*@.!x|y.*{1,2}', '978-0-393-04002-9'),
    ('null', 'null', 'strict $', 'plain text', '', '', '', '', '*', NULL),
    ('""', '{"big": 123456789012345678901234567890.000, "e": 1e400}', 'lax $.**{2 to last}', '<?xml version="1.0" standalone="yes"?><r>é</r>', 'a:1,2,3', 'a', NULL, NULL, NULL, NULL),
    (' [1 , 2.50] ', '[{"deep": [[[[]]]]}, 1.50, "\ud83d\ude00"]', '$.a + 1 - -$.b', '', NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE arrays (i int[], t text[], multi int[][], low int[], n numeric[], b bytea[], j jsonb[], d date[], p point[], bx box[], c citext[], a3 text[3][3]);
INSERT INTO arrays VALUES
    ('{}', '{"",NULL,"NULL","a,b","q\"q","back\\slash","{}"," lead","new
line"}', '{{1,2},{NULL,4}}', '[-3:-1]={7,8,9}', '{NaN,Infinity,1.10}', ARRAY['\x00'::bytea, ''], ARRAY['{"a": [1]}'::jsonb, 'null', NULL],
     '{infinity,"0044-03-15 BC",NULL}', ARRAY[point(1, 2), NULL], '{(1,1),(0,0);(2,2),(1,1)}', '{A,a}', '{{a,b},{c,d}}'),
    (NULL, '{}', '[2:3][0:1]={{1,2},{3,4}}', '[0:0]={NULL}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('{NULL,NULL}', '[5:6]={x,y}', '{{{1}},{{2}}}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');

CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'a,b', '"quoted"', 'übermütig', '');
ALTER TYPE mood ADD VALUE 'middling' BEFORE 'a,b';
CREATE TYPE empty_enum AS ENUM ();
COMMENT ON TYPE mood IS 'an enum; its OIDs are other ones after a restore';
CREATE TYPE pair AS (a int, "b ""odd""" text, c numeric(5, 2)[]);
CREATE TYPE nested AS (p pair, ps pair[], m mood, "select" timestamptz);
CREATE TYPE nothing AS ();
COMMENT ON COLUMN pair.a IS 'of a composite type';
CREATE DOMAIN positive AS int DEFAULT 5 CONSTRAINT "above zero" CHECK (VALUE > 0) NOT NULL;
CREATE DOMAIN mail AS citext COLLATE "C" CHECK (VALUE ~ '^[^@]+@[^@]+$');
CREATE DOMAIN mails AS mail[] CHECK (array_length(VALUE, 1) < 4);
CREATE DOMAIN late AS text;
CREATE DOMAIN pairs AS pair CHECK (VALUE IS NULL OR (VALUE).a IS NOT NULL);
COMMENT ON DOMAIN mail IS 'checked'; COMMENT ON CONSTRAINT "above zero" ON DOMAIN positive IS 'of a domain';
CREATE TYPE float8range_ AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = many_floats);
CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
CREATE TABLE made (id int, m mood, ms mood[], p pair, ps pair[], n nested, x nothing, pos positive, ml mail, mls mails, l late, pp pairs, s shapes);
INSERT INTO made VALUES
    (1, 'sad', '{middling,"it''s ok","",NULL}', ROW(1, E'q"\\,()\n', '{1.10,NULL}'), ARRAY[ROW(1, NULL, NULL)::pair, NULL], ROW(ROW(1, '', '{}')::pair, '{}', 'a,b', 'infinity')::nested,
     ROW()::nothing, 1, 'a@B', '{x@y,z@w}', 'violates', ROW(1, NULL, NULL), NULL),
    (2, NULL, NULL, ROW(NULL, NULL, NULL), NULL, NULL, NULL, 2147483647, NULL, NULL, NULL, NULL, ROW('(1,2)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
ALTER DOMAIN late ADD CONSTRAINT never CHECK (VALUE <> 'violates') NOT VALID;

CREATE TABLE ranges (i int4range, b int8range, n numrange, ts tsrange, tz tstzrange, d daterange, f float8range_, t text_range,
    mi int4multirange, mn nummultirange, mz tstzmultirange, mf many_floats);
INSERT INTO ranges VALUES ('empty', '(,)', '(,1.10]', '[,infinity]', '[-infinity,infinity)', '(,2026-01-01]', '[NaN,NaN]', '["a,b","c""d\\"]',
    '{}', '{(,1),[2,3.0]}', '{(,),(,)}', '{[1,2),[Infinity,NaN]}'),
    ('[-2147483648,2147483647)', '[1,1]', '[NaN,NaN]', '["2000-01-01 BC",)', '(2026-03-29 02:00+02,]', '[0044-03-15 BC,infinity)', '(-0,0.1]', '["",)',
    '{[1,5),[7,9)}', '{(,)}', '{}', '{}'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE FUNCTION odd_plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE TABLE registered (l pg_lsn, ts txid_snapshot, ps pg_snapshot, x xid, x8 xid8, c cid, ti tid, iv int2vector, ov oidvector, acl aclitem[], rc refcursor,
    rcl regclass, rty regtype, rpr regproc, rpe regprocedure, rop regoper, roe regoperator, rns regnamespace, rro regrole, rco regcollation, rcf regconfig, rdi regdictionary);
INSERT INTO registered VALUES ('FFFFFFFF/FFFFFFFF', '10:20:10,14,15', '10:20:10,14,15', '4294967295', '18446744073709551615', '4294967295', '(4294967295,65535)',
    '1 -2 3', '1 4294967295', '{}', 'cur"sor', 'types.numbers', 'types.pair', 'types.odd_plus', 'types.odd_plus(int, int)', '|/', '+(int,int)', 'types', 'pg_monitor', '"C"', 'english', 'simple'),
    ('0/0', '1:1:', '1:1:', '0', '0', '0', '(0,0)', '', '', NULL, '', '123456789', '-', '-', '123456789', '0', '0', 'pg_catalog', '-', 'pg_catalog."default"', 'pg_catalog.german', '-');

CREATE COLLATION "odd ""case""" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION phone FROM "C";
COMMENT ON COLLATION phone IS 'copied';
CREATE TABLE collated (a text COLLATE "odd ""case""" PRIMARY KEY, b text COLLATE phone);
INSERT INTO collated VALUES ('Straße', 'x'), ('ümlaut', 'y');

-- A base type of its own, on the server's C functions, with a shell type beside it; an operator, its class and family; casts.
CREATE TYPE label;
CREATE FUNCTION label_in(cstring) RETURNS label LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION label_out(label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE label (INPUT = label_in, OUTPUT = label_out, LIKE = text, CATEGORY = 'S', DEFAULT = 'none');
CREATE TYPE unfinished;
CREATE CAST (label AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (text AS label) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1, NULL, NULL)::types.pair';
CREATE CAST (int AS pair) WITH FUNCTION to_pair(int);
CREATE CAST (pair AS text) WITH INOUT;
COMMENT ON CAST (int AS pair) IS 'a cast';
CREATE FUNCTION label_cmp(label, label) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.bttextcmp($1::text, $2::text)';
CREATE FUNCTION label_lt(label, label) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1::text OPERATOR(pg_catalog.<) $2::text';
CREATE FUNCTION label_gt(label, label) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1::text OPERATOR(pg_catalog.>) $2::text';
CREATE FUNCTION label_eq(label, label) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1::text OPERATOR(pg_catalog.=) $2::text';
CREATE OPERATOR <# (LEFTARG = label, RIGHTARG = label, FUNCTION = label_lt, COMMUTATOR = >#, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR ># (LEFTARG = label, RIGHTARG = label, FUNCTION = label_gt, COMMUTATOR = <#);
CREATE OPERATOR =# (LEFTARG = label, RIGHTARG = label, FUNCTION = label_eq, COMMUTATOR = =#, MERGES);
COMMENT ON OPERATOR <# (label, label) IS 'below';
CREATE OPERATOR FAMILY label_family USING btree;
CREATE OPERATOR CLASS label_ops DEFAULT FOR TYPE label USING btree FAMILY label_family AS OPERATOR 1 <#, OPERATOR 3 =#, OPERATOR 5 >#, FUNCTION 1 label_cmp(label, label);
CREATE OPERATOR FAMILY lone_family USING hash;
COMMENT ON OPERATOR CLASS label_ops USING btree IS 'a class'; COMMENT ON OPERATOR FAMILY label_family USING btree IS 'a family';
CREATE TABLE labels (l label DEFAULT 'none');
INSERT INTO labels VALUES ('b'), ('a'), (DEFAULT), (NULL);
CREATE INDEX labels_sorted ON labels (l DESC NULLS LAST);
ALTER TYPE pair OWNER TO :"owner";
ALTER DOMAIN mail OWNER TO :"odd";
GRANT USAGE ON TYPE mood TO :"reader"; REVOKE USAGE ON DOMAIN mail FROM PUBLIC;
