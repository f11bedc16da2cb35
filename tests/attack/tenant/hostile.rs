//! The hostile databases, and the server's log in which their code notes who runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One database: its name, and the SQL that the tenant's owner runs in it.
#[derive(Debug, Clone)]
pub struct Hostile {
    pub name: String,
    pub sql: String,
}

impl Hostile {
    pub fn all() -> Vec<Self> {
        let text = testkit::file("tests/attack/tenant/hostile.sql");
        let blocks = text.split("\n\n-- ").skip(1);
        blocks
            .map(|block| {
                let (name, sql) = block.split_once('\n').unwrap();
                Self { name: name.to_owned(), sql: sql.trim().to_owned() }
            })
            .collect()
    }
}

/// Those that `SENNIGHT_CASES` leaves: evenly spread over the list.
pub fn chosen() -> Vec<Hostile> {
    let all = Hostile::all();
    let wanted = std::env::var("SENNIGHT_CASES").ok().and_then(|n| n.parse::<usize>().ok()).unwrap_or(all.len());
    if let Ok(name) = std::env::var("SENNIGHT_CASE") {
        return all.into_iter().filter(|h| h.name == name).collect();
    }
    let step = all.len().div_ceil(wanted.clamp(1, all.len()));
    all.into_iter().step_by(step).collect()
}

/// What every hostile database has: functions that note who runs them. `victim` is a role that the tenant is no member of.
pub fn prelude(victim: &str) -> String {
    format!(
        "CREATE FUNCTION public.act(how text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $act$ BEGIN
           RAISE LOG 'TENANT_CODE db=% user=% session=% super=% victim=% how=%', pg_catalog.current_database(), current_user, session_user,
             pg_catalog.current_setting('is_superuser'),
             pg_catalog.pg_has_role(session_user, '{victim}', 'MEMBER') OR pg_catalog.pg_has_role(current_user, '{victim}', 'MEMBER'), how;
           RETURN true; END $act$;
         CREATE FUNCTION public.act_of(how text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $act$ BEGIN RETURN public.act(how); END $act$;
         CREATE FUNCTION public.pure(how text, i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $act$ BEGIN
           PERFORM public.act_of(how); RETURN i; END $act$;"
    )
}

/// What the log says of one tenant's code.
pub struct Seen {
    pub calls: usize,
    pub who: String,
}

fn log() -> PathBuf {
    let run = PathBuf::from(testkit::env("SENNIGHT_TEST_PG_CA")).parent().unwrap().join("log");
    let port = testkit::env("SENNIGHT_TEST_PG_PORT");
    let major = [13, 14, 16, 17, 18]
        .into_iter()
        .find(|major| std::env::var(format!("SENNIGHT_TEST_PG_PORT_{major}")).is_ok_and(|of| of == port));
    run.join(major.map_or("postgres.log".to_owned(), |major| format!("postgres-{major}.log")))
}

/// Reads the log, and fails if the code ran in a name that is not among `own`, or reached the victim. `databases`: where it ran.
pub fn seen(databases: &[String], own: &[String]) -> Result<Seen, String> {
    let text =
        String::from_utf8_lossy(&std::fs::read(log()).map_err(|e| format!("{}: {e}", log().display()))?).into_owned();
    let (mut calls, mut who) = (0, BTreeMap::<String, usize>::new());
    for line in text.lines() {
        if line.contains("LOG:  TENANT_REACHED") && databases.iter().any(|d| line.contains(d.as_str())) {
            return Err(line.to_owned());
        }
        let Some((client, words)) = line.split_once("LOG:  TENANT_CODE db=") else { continue };
        // Autovacuum is the server's own: its lines name no client.
        if !client.contains('@') {
            continue;
        }
        let mut words = words.splitn(6, ' ');
        let mut next = |name: &str| words.next().unwrap_or_default().trim_start_matches(name).to_owned();
        let (db, user, session) = (next(""), next("user="), next("session="));
        let (superuser, victim) = (next("super="), next("victim="));
        if !databases.contains(&db) {
            continue;
        }
        let is_own = |role: &String| own.contains(role) || role.starts_with("sennight_load_");
        if superuser != "off" || victim != "f" || !is_own(&user) || !is_own(&session) {
            return Err(format!("it ran in another's name: {line}"));
        }
        calls += 1;
        let kind = if session.starts_with("sennight_load_") { "the loading role" } else { "the tenant" };
        *who.entry(kind.to_owned()).or_default() += 1;
    }
    let who: Vec<String> = who.iter().map(|(who, n)| format!("{who} ({n})")).collect();
    Ok(Seen { calls, who: if who.is_empty() { "nobody".to_owned() } else { who.join(", ") } })
}
