-- From the PostgreSQL review of November 2026, finding F17.
-- A tenant's CHECK with a volatile function runs with the restore role's rights while rows are loaded (so it does in stock pg_restore): by a
-- superuser's restore the tenant's owner becomes superuser. Roles: t1_owner (owns the database). For docs/authority.md, and SET ROLE for COPY.
-- Right: the CHECK runs with the tenant's rights.
-- ways: restore
-- check: SELECT 'the tenant is a superuser' FROM pg_roles WHERE rolname = 't1_owner' AND rolsuper
GRANT CREATE ON SCHEMA public TO t1_owner;
SET ROLE t1_owner;
CREATE FUNCTION public.f(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  IF pg_catalog.current_setting('is_superuser') = 'on' AND pg_catalog.current_database() ~ '__r' THEN EXECUTE 'ALTER ROLE t1_owner SUPERUSER'; END IF;
  RETURN true; END $$;
CREATE TABLE public.t (a int CHECK (public.f(a))); INSERT INTO public.t VALUES (1);
RESET ROLE;
