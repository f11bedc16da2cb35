-- From the PostgreSQL review of November 2026, finding F9.
-- A grant that was passed on. Roles: t1_owner, t1_app, t1_other.
-- Right: the passed on grant comes back, or preflight refuses it.
-- ways: restore lesser drill
CREATE TABLE passed (a int); ALTER TABLE passed OWNER TO t1_owner;
SET ROLE t1_owner; GRANT SELECT ON passed TO t1_app WITH GRANT OPTION; RESET ROLE;
SET ROLE t1_app; GRANT SELECT ON passed TO t1_other; RESET ROLE;
