-- From the PostgreSQL review of November 2026, finding F9.
-- A LEAKPROOF function: only a superuser may make one; preflight of a lesser restore role does not know. Roles: t1_owner.
-- Right: preflight refuses it, or a superuser makes that one object.
-- ways: lesser
CREATE FUNCTION public.leak(int) RETURNS boolean LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT true';
ALTER FUNCTION leak OWNER TO t1_owner;
