-- From the PostgreSQL review of November 2026, finding F10.
-- ALTER ROLE … IN DATABASE … SET role: anybody may set it for themselves; preflight of a lesser restore role refuses (SettingsDenied: role),
-- because pg_settings does not list "role". Roles: t1_owner, t1_app; the restore role is a member of both.
-- Right: preflight lets it pass, and the setting comes back.
-- ways: lesser
GRANT t1_owner TO t1_app;
DO $$ BEGIN EXECUTE format('ALTER ROLE t1_app IN DATABASE %I SET role = t1_owner', current_database()); END $$;
