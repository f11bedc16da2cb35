-- From the PostgreSQL review of November 2026, finding F9.
-- A table in a schema in which its owner may not create (any more; or it was given away by a superuser). Roles: t1_owner, t1_app.
-- ALTER TABLE … OWNER TO by a restore role that is no superuser is refused by the server; preflight does not know.
-- Right: the table comes back with its owner, or preflight refuses it.
-- ways: restore lesser drill
CREATE TABLE public.given (a int); INSERT INTO public.given VALUES (1); ALTER TABLE public.given OWNER TO t1_app;
