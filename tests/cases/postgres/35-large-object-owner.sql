-- From the PostgreSQL review of November 2026; finding: none: it held.
-- Large objects of several owners, restored by a role that is no superuser. Roles: t1_owner, t1_other.
-- Right: the large objects come back with their owners and grants.
-- ways: restore lesser
-- dump by: t1_dump
SELECT lo_from_bytea(71, 'a'), lo_from_bytea(72, 'b'); ALTER LARGE OBJECT 71 OWNER TO t1_owner; ALTER LARGE OBJECT 72 OWNER TO t1_other;
GRANT SELECT ON LARGE OBJECT 71 TO t1_other; GRANT SELECT ON LARGE OBJECT 71, 72 TO t1_dump;
