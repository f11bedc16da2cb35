-- For PostgreSQL 13 to 15, and wherever the restore role shall not have CREATEROLE. A superuser, or a role with CREATEROLE that is a
-- member of the tenants' owners WITH ADMIN OPTION, runs it once in the maintenance database:
--   psql -d postgres -v ON_ERROR_STOP=1 -f loading-role.sql
--   psql -d postgres -c 'GRANT USAGE ON SCHEMA sennight TO sennight_restore' -c 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sennight TO sennight_restore'
-- Before 16 CREATEROLE is worth a superuser. These three functions make, close and drop roles for one restore, and nothing else.
BEGIN;
CREATE SCHEMA IF NOT EXISTS sennight;
REVOKE ALL ON SCHEMA sennight FROM PUBLIC;

-- Makes a role for the restore of one request: with a SCRAM verifier one that may log in, without one that stands in for an owner.
-- It becomes a member of `owners`: each is a role of the caller, or one that this function made for the same request.
CREATE OR REPLACE FUNCTION sennight.make_role(name text, verifier text, owners text[], request text, sessions integer) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mark text := 'sennight.dev/load=' || request;
  owner text;
  owner_oid oid;
BEGIN
  IF name !~ '^sennight_load_[0-9a-f]{12}(_[0-9]{1,4})?$' THEN
    RAISE EXCEPTION 'no name of a loading role: %', name;
  END IF;
  IF verifier IS NOT NULL AND verifier !~ '^SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$' THEN
    RAISE EXCEPTION 'the password is not given as a SCRAM verifier';
  END IF;
  IF request IS NULL OR length(request) NOT BETWEEN 1 AND 300 OR sessions NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'no request, or not 1 to 1000 sessions';
  END IF;
  EXECUTE format('CREATE ROLE %I INHERIT %s', name,
    CASE WHEN verifier IS NULL THEN 'NOLOGIN' ELSE format('LOGIN PASSWORD %L CONNECTION LIMIT %s', verifier, sessions) END);
  FOREACH owner IN ARRAY owners LOOP
    SELECT oid INTO owner_oid FROM pg_roles WHERE rolname = owner;
    IF owner_oid IS NULL THEN
      RAISE EXCEPTION 'no role %', owner;
    END IF;
    IF shobj_description(owner_oid, 'pg_authid') IS DISTINCT FROM mark THEN
      IF NOT pg_has_role(session_user, owner_oid, 'MEMBER') THEN
        RAISE EXCEPTION '% is not a member of %', session_user, owner;
      END IF;
      IF starts_with(owner, 'pg_') OR EXISTS (
          SELECT FROM pg_roles r WHERE (r.rolsuper OR r.rolcreaterole OR r.rolreplication OR starts_with(r.rolname::text, 'pg_'))
             AND pg_has_role(owner_oid, r.oid, 'MEMBER')) THEN
        RAISE EXCEPTION 'nothing is loaded as %: it may do more than a tenant', owner;
      END IF;
    END IF;
    EXECUTE format('GRANT %I TO %I', owner, name);
  END LOOP;
  IF verifier IS NULL THEN
    -- Its maker hands over what it owns.
    EXECUTE format('GRANT %I TO %I', name, session_user);
  END IF;
  EXECUTE format('COMMENT ON ROLE %I IS %L', name, mark);
END $$;

CREATE OR REPLACE FUNCTION sennight.close_role(name text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name !~ '^sennight_load_[0-9a-f]{12}(_[0-9]{1,4})?$' THEN
    RAISE EXCEPTION 'no name of a loading role: %', name;
  END IF;
  EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', name);
END $$;

CREATE OR REPLACE FUNCTION sennight.drop_role(name text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name !~ '^sennight_load_[0-9a-f]{12}(_[0-9]{1,4})?$' THEN
    RAISE EXCEPTION 'no name of a loading role: %', name;
  END IF;
  EXECUTE format('DROP ROLE %I', name);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sennight FROM PUBLIC;
COMMIT;
