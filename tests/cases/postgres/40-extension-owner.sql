-- From the PostgreSQL review of November 2026, finding F15.
-- The tenant's owner made a trusted extension. Afterwards it is the restore role's: the owner can neither update nor drop it.
-- Roles: t1_owner (CREATE on the database).
-- Right: the extension belongs to whom it belonged to.
-- ways: restore
-- check: SELECT 'citext is ' || extowner::regrole FROM pg_extension WHERE extname = 'citext' AND extowner::regrole::text <> 't1_owner'
GRANT CREATE ON SCHEMA public TO t1_owner;
SET ROLE t1_owner; CREATE EXTENSION citext; RESET ROLE;
