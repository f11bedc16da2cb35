-- From the PostgreSQL review of November 2026, finding F9.
-- A publication of all tables in a schema (15 and later): only a superuser may make one. Roles: t1_owner.
-- Right: preflight refuses it for a lesser role.
-- ways: restore lesser drill
CREATE SCHEMA pub AUTHORIZATION t1_owner; CREATE TABLE pub.t (a int PRIMARY KEY); ALTER TABLE pub.t OWNER TO t1_owner;
CREATE PUBLICATION p FOR TABLES IN SCHEMA pub; ALTER PUBLICATION p OWNER TO t1_owner;
