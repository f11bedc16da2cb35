-- From the PostgreSQL review of November 2026, finding F17.
-- Partitions by the hash of a regclass: the number behind the name is another one after a restore.
-- Right: the rows come back, each in the partition that its hash names now.
-- ways: restore
CREATE TABLE seen (what regclass, n int) PARTITION BY HASH (what);
CREATE TABLE seen_0 PARTITION OF seen FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE seen_1 PARTITION OF seen FOR VALUES WITH (MODULUS 2, REMAINDER 1);
DO $$ BEGIN FOR i IN 1..16 LOOP EXECUTE format('CREATE TABLE t%s ()', i); EXECUTE format('INSERT INTO seen VALUES (%L, %s)', 't' || i, i); END LOOP; END $$;
