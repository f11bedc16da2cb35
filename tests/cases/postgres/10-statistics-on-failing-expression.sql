-- From the PostgreSQL review of November 2026, finding F7.
-- Extended statistics on an expression that fails for a row: ANALYZE of that table fails. It does so on the live database, too, but
-- nothing is lost by it. Right: the backup is restored (stock does it; it runs no ANALYZE).
-- ways: restore
CREATE TABLE ratios (a int, b int); INSERT INTO ratios VALUES (1, 1), (1, 0);
CREATE STATISTICS by_ratio ON (a / b), a FROM ratios;
