-- From the MySQL and MariaDB review of November 2026, finding 33.
-- servers: mysql-9
-- The review saw: partial_revokes=ON, account with SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, SHOW_ROUTINE on *.* and TRIGGER, EVENT revoked on this database:
--        dump ok, verify ok, neither trigger nor event in the backup, no warning
-- Right: PermissionDenied (read the restrictions: SHOW GRANTS prints the REVOKE lines, mysql.user.User_attributes has them)
-- ways: intact
-- setup: SET GLOBAL partial_revokes = ON;
-- teardown: DROP USER @DUMP@; SET GLOBAL partial_revokes = OFF;
-- rights: GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, SHOW_ROUTINE ON *.* TO @DUMP@; REVOKE TRIGGER, EVENT ON @DB@.* FROM @DUMP@;
CREATE TABLE t (id int PRIMARY KEY);
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SELECT 1;
