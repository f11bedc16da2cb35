#!/usr/bin/env bash
# A-4: between CREATE FUNCTION … SECURITY DEFINER and ALTER FUNCTION … OWNER TO a function of the tenant belongs to the restore role, and
# PUBLIC may execute it. The tenant, whom the half-filled database lets in (S-04), waits for that moment.
# Right: nobody but the loader is in the database before the swap; a tenant's function is never the restore role's.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme <<'SQL'
CREATE TABLE t(i int); INSERT INTO t VALUES (1);
DO $$ BEGIN FOR i IN 1..1500 LOOP EXECUTE format($f$CREATE FUNCTION f%s() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $b$ BEGIN
  IF current_user::text <> 'acme' THEN RAISE LOG 'OWNED-A4 as %% called by %%', current_user, session_user;
    EXECUTE pg_catalog.format('ALTER ROLE %%I PASSWORD %%L', current_user, 'owned'); END IF; RETURN current_user; END $b$ $f$, i); END LOOP; END $$;
SQL
dump acme >/dev/null 2>&1
N=acme__r0f3b2c1daaaa
cat >wait.sql <<'SQL'
DO $$ DECLARE r record; who text; BEGIN
  LOOP
    FOR r IN SELECT p.oid, p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND pg_get_userbyid(p.proowner) <> 'acme' LOOP
      BEGIN EXECUTE format('SELECT public.%I()', r.proname) INTO who; RAISE NOTICE 'called % and ran as %', r.proname, who; IF who <> 'acme' THEN RETURN; END IF;
      EXCEPTION WHEN OTHERS THEN NULL; END;
    END LOOP;
  END LOOP; END $$;
SQL
( for i in $(seq 500); do as acme t -d $N -c "SELECT 1" >/dev/null 2>&1 && break; sleep 0.01; done; timeout 30 env PGUSER=acme PGPASSWORD=t psql -X -qAt -d $N -f wait.sql >w 2>&1 ) & l=$!
prepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; grep -a ERROR o | tail -n1 | cut -c1-250; }
wait $l 2>/dev/null || true
cat w | head -n 3; outcome "SECURITY DEFINER before its owner" "$(who OWNED-A4 0)"
echo "restore role with the tenant's password: $(as sennight_restore owned -d bcorp -c 'SET ROLE bcorp; TABLE secret' 2>&1 | tail -n1 | cut -c1-150)"
