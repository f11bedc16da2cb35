-- From the PostgreSQL review of November 2026, finding F1.
-- The tenant's owner puts a schema of their own before pg_catalog, with a function of the name that Sennight's first statement calls
-- without a schema: it runs with the rights of whoever dumps or restores. Roles: t1_owner (owns the database).
-- Right: no function of the tenant runs: public.caught stays empty.
-- ways: restore hand
-- check: SELECT string_agg(DISTINCT who || ' ' || super, ', ') FROM public.caught
CREATE TABLE public.caught (who text, super text);
ALTER TABLE public.caught OWNER TO t1_owner; GRANT INSERT ON public.caught TO PUBLIC;
CREATE SCHEMA trap AUTHORIZATION t1_owner;
SET ROLE t1_owner;
CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.caught VALUES (current_user, pg_catalog.current_setting('is_superuser'));
  RETURN pg_catalog.current_setting($1);
END $$;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
DO $$ BEGIN EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = trap, pg_catalog, public', current_database()); END $$;
RESET ROLE;
