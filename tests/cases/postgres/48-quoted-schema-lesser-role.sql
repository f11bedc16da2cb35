-- From the PostgreSQL review of November 2026, finding F9.
-- Two owners in a schema whose name needs quotes (upper case, a space, a keyword), restored by a role that is no superuser. Grants on such schemas
-- must come first and are looked for without the quotes that the archive's list has (ACL - SCHEMA "Crm"): preflight go, prepare
-- "permission denied for schema Crm". With the name crm it works. Roles: t1_owner, t1_app.
-- Right: the schema's grants come first, quoted or not.
-- ways: lesser
CREATE SCHEMA "Crm" AUTHORIZATION t1_owner; GRANT USAGE, CREATE ON SCHEMA "Crm" TO t1_app;
CREATE TABLE "Crm".mine (a int); ALTER TABLE "Crm".mine OWNER TO t1_owner;
CREATE TABLE "Crm".theirs (a int); ALTER TABLE "Crm".theirs OWNER TO t1_app;
