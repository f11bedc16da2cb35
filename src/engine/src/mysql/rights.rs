//! Rights of the session's account. MySQL and MariaDB silently hide what an account has no right to see: a dump by an account
//! without TRIGGER would be a backup without triggers.

use super::connect::Session;
use super::error::EngineError;
use super::grants::{Grants, Names};
use super::version::Flavour;
use std::collections::BTreeSet;

const ME: &str = "SET @sennight_me = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', CHAR_LENGTH(CURRENT_USER())
   - CHAR_LENGTH(REPLACE(CURRENT_USER(), '@', ''))), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
const DOING: &str = "reading the account's rights";
/// Without one of these rights on the whole database, a part of it is hidden.
const NEEDED: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// The account's grants and those of the roles that are active. Only SHOW GRANTS says what partial revokes take away: neither
/// information_schema nor mysql.user's columns do, and mysql.user's JSON is not for everybody's eyes.
async fn grants(session: &mut Session) -> Result<Grants, EngineError> {
    let (folds,): (i64,) = session.row("SELECT @@lower_case_table_names", DOING).await?;
    let literal = match session.version().flavour {
        Flavour::MySQL => session.row::<(bool,)>("SELECT @@partial_revokes", DOING).await?.0,
        Flavour::MariaDB => false,
    };
    let lines: Vec<(String,)> = session.rows("SHOW GRANTS", DOING).await?;
    let lines: Vec<String> = lines.into_iter().map(|(line,)| line).collect();
    Ok(Grants::parse(&lines, Names { patterns: !literal, folds: folds != 0 }))
}

/// Refuses an account to which the server may hide something of the database.
pub async fn check_sees_all(session: &mut Session) -> Result<(), EngineError> {
    let (database,): (Option<String>,) = session.row("SELECT DATABASE()", DOING).await?;
    let database = database.unwrap_or_default();
    let grants = grants(session).await?;
    let mut missing: Vec<&str> = NEEDED.into_iter().filter(|right| !grants.on_database(right, &database)).collect();
    missing.extend(of_routines(&grants, session.version().flavour, &database));
    if missing.is_empty() {
        return Ok(());
    }
    let mut why = format!("it lacks {}", missing.join(", "));
    if missing.iter().any(|right| grants.is_revoked(right, &database)) {
        why += " (a partial revoke takes it from this database; a grant on the database gives it back)";
    } else if grants.about(&database) > 1 {
        why += " (several grants match the database's name and the server looks at one of them: grant all of it on the very name)";
    }
    Err(EngineError::PermissionDenied { doing: "see all of the database".to_owned(), why })
}

/// The right that is missing to see functions and procedures of other accounts.
fn of_routines(grants: &Grants, flavour: Flavour, database: &str) -> Option<&'static str> {
    if grants.everywhere("SELECT", database) {
        return None;
    }
    match flavour {
        Flavour::MySQL => (!grants.everywhere("SHOW_ROUTINE", database)).then_some("SHOW_ROUTINE (on *.*)"),
        Flavour::MariaDB => {
            let shown = grants.on_table("SELECT", "mysql", "proc")
                || grants.on_database("SELECT", "mysql")
                || grants.on_database("SHOW CREATE ROUTINE", database);
            (!shown).then_some("SELECT on mysql.proc")
        }
    }
}

/// Rights of the session's account on `*.*`.
pub async fn global(session: &mut Session) -> Result<BTreeSet<String>, EngineError> {
    session.run(ME, DOING).await?;
    let held: Vec<(String,)> = session
        .rows("SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = @sennight_me", DOING)
        .await?;
    Ok(held.into_iter().map(|(right,)| right).collect())
}

/// Those of the global `rights` that a partial revoke takes from `database`.
pub async fn revoked(
    session: &mut Session,
    rights: &[&'static str],
    database: &str,
) -> Result<Vec<&'static str>, EngineError> {
    let grants = grants(session).await?;
    let is_revoked = |right: &&&str| grants.is_revoked(right, database) && !grants.on_database(right, database);
    Ok(rights.iter().filter(is_revoked).copied().collect())
}

/// Whether the account may give its rights to others.
pub async fn may_grant(session: &mut Session) -> Result<bool, EngineError> {
    session.run(ME, DOING).await?;
    let query = "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES
        WHERE GRANTEE = @sennight_me AND PRIVILEGE_TYPE = 'EXECUTE' AND IS_GRANTABLE = 'YES'";
    let (count,): (i64,) = session.row(query, DOING).await?;
    Ok(count > 0)
}
