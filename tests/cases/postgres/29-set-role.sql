-- From the PostgreSQL review of November 2026; finding: none: it held.
-- ALTER DATABASE … SET role: every session on it becomes that role, a superuser's too. Roles: t1_owner.
-- Right: every row comes back.
-- ways: restore
CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO t1_owner;
CREATE TABLE not_its (a int); INSERT INTO not_its VALUES (1);
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET role = t1_owner', current_database()); END $$;
