-- From the PostgreSQL review of November 2026, finding F6.
-- A foreign key that some rows violate (loaded with session_replication_role = replica). The live database works with it.
-- Right: the rest is restored, and the constraint comes back NOT VALID; preflight says so.
-- ways: restore
CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p);
SET session_replication_role = replica; INSERT INTO c VALUES (99); RESET session_replication_role;
CREATE TABLE sound (a int); INSERT INTO sound VALUES (1);
