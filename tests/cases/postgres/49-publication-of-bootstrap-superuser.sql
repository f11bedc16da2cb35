-- From the PostgreSQL review of November 2026, finding F9.
-- A publication (change capture) that the bootstrap superuser made over the tenant's tables: the manifest's roles[] does not name its owner
-- (pg_shdepend has no entries for that role; asked for are owners of tables, schemas, functions, types, extensions, large objects only; the same
-- goes for statistics, collations, text search objects, operators, foreign servers). Preflight of a lesser role: go instead of OwnersNotGranted;
-- prepare fails after all rows were loaded. On a server whose bootstrap superuser has another name: no RolesMissing either. Roles: t1_owner.
-- Right: preflight says whose object it is: OwnersNotGranted.
-- ways: lesser
CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO t1_owner;
CREATE PUBLICATION cdc FOR TABLE t;
