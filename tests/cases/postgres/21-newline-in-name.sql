-- From the PostgreSQL review of November 2026, finding F16.
-- A column and a table whose names hold a line end and a tab (the fixture database has them for the program; this is for the script of docs/format.md).
-- Right: every way brings the names back.
-- ways: restore hand recipe
CREATE TABLE "two
lines" ("a	tab" int, "b
line" int);
INSERT INTO "two
lines" VALUES (1, 2);
