-- From the MySQL and MariaDB review of November 2026, finding 34.
-- servers: mariadb-10.11
-- needs: INSTALL SONAME 'auth_ed25519'
-- The review saw: the account that dumps is IDENTIFIED VIA ed25519: the task panics ("report this as a bug"), retried for ever
-- Right: it works (feature client_ed25519 of mysql_common), or an error that names the plugin. MySQL's sha256_password: Unreachable with "check network policies"
-- ways: intact
-- setup: INSTALL SONAME 'auth_ed25519';
-- account: IDENTIFIED VIA ed25519 USING PASSWORD('pass-word')
-- teardown: DROP USER @DUMP@; UNINSTALL SONAME 'auth_ed25519';
CREATE TABLE t (id int PRIMARY KEY);
