-- From the PostgreSQL review of November 2026; finding: none: tried beside F9.
-- A user mapping with password_required 'false' may be made by superusers only. Roles: t1_owner, t1_app.
-- Right: preflight refuses it, or a superuser makes that one object.
-- ways: lesser
CREATE EXTENSION postgres_fdw;
CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x'); ALTER SERVER s OWNER TO t1_owner;
CREATE USER MAPPING FOR t1_app SERVER s OPTIONS (password_required 'false');
