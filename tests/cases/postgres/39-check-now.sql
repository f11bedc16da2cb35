-- From the PostgreSQL review of November 2026, finding F6.
-- A CHECK that held when the row came and does not hold now.
-- Right: the rest is restored, and the CHECK comes back NOT VALID; preflight says so.
-- ways: restore
CREATE TABLE offers (until timestamptz CHECK (until > now())); CREATE TABLE sound (a int); INSERT INTO sound VALUES (1);
INSERT INTO offers VALUES (now() + interval '1 second'); SELECT pg_sleep(1.5);
