-- From the PostgreSQL review of November 2026, finding F2.
-- A materialised view that groups by a primary key stands in the archive's post-data section; a grant on it.
-- Roles: t1_app.
-- Right: the backup can be restored, with the grant.
-- ways: restore drill
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE invoices (customer int REFERENCES customers, amount numeric);
INSERT INTO customers VALUES (1, 'a'), (2, 'b'); INSERT INTO invoices VALUES (1, 10), (1, 5), (2, 1);
CREATE MATERIALIZED VIEW turnover AS SELECT c.id, c.name, sum(i.amount) AS s FROM customers c JOIN invoices i ON i.customer = c.id GROUP BY c.id;
GRANT SELECT ON turnover TO t1_app;
