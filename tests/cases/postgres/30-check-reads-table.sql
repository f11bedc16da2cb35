-- From the PostgreSQL review of November 2026; finding: documented in docs/full-restore.md.
-- (documented) a CHECK that looks into another table.
-- Right: the rows come back, or preflight names the CHECK.
-- ways: restore
CREATE TABLE z_allowed (v int); INSERT INTO z_allowed VALUES (1);
CREATE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM public.z_allowed WHERE v = $1)';
CREATE TABLE a_uses (v int CHECK (allowed(v))); INSERT INTO a_uses VALUES (1);
