-- From the MySQL and MariaDB review of November 2026, finding 31.
-- A refusal by preflight would be right as well.
-- servers: mariadb-10.11 mariadb-11.8
-- needs: @DIR@, a directory that the server may write
-- The review saw: the swap works, then DROP DATABASE of the emptied one fails (error 1010: the server leaves its .isl link): Unknown/Unsettled after minutes
-- Right: ends ok and tells that the empty database is left
-- ways: intact
CREATE TABLE dd (id int PRIMARY KEY) DATA DIRECTORY='@DIR@';
INSERT INTO dd VALUES (1);
