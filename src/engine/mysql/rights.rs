//! Whether the account sees everything that there is. A server of this family shows an account only what it has a right to,
//! without a word: a dump by an account without TRIGGER would be a copy without triggers.

use super::connect::Session;
use super::error::EngineError;
use super::version::Flavour;
use std::collections::BTreeSet;

/// Rights of the session's account that hold for the whole database: global ones and the database's own. Patterns of
/// database names are what the server takes them for.
const HELD: &str = "
SELECT PRIVILEGE_TYPE, 1 FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = @sennight_me
 UNION SELECT PRIVILEGE_TYPE, 0 FROM information_schema.SCHEMA_PRIVILEGES
  WHERE GRANTEE = @sennight_me AND DATABASE() LIKE TABLE_SCHEMA";
const ME: &str = "SET @sennight_me = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', CHAR_LENGTH(CURRENT_USER())
   - CHAR_LENGTH(REPLACE(CURRENT_USER(), '@', ''))), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
const DOING: &str = "reading the account's rights";
const PROC: &str = "SELECT COUNT(*) FROM information_schema.TABLE_PRIVILEGES
  WHERE GRANTEE = @sennight_me AND TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'proc' AND PRIVILEGE_TYPE = 'SELECT'";

/// Refuses an account that may be shown less than there is. Rights by way of a role are not counted.
pub async fn sees_all(session: &mut Session) -> Result<(), EngineError> {
    let doing = DOING;
    session.run(ME, doing).await?;
    let held: Vec<(String, i64)> = session.rows(HELD, doing).await?;
    let any: BTreeSet<&str> = held.iter().map(|(right, _)| right.as_str()).collect();
    let global: BTreeSet<&str> =
        held.iter().filter(|(_, global)| *global == 1).map(|(right, _)| right.as_str()).collect();
    let mut missing: Vec<&str> =
        ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"].into_iter().filter(|right| !any.contains(right)).collect();
    if !global.contains("SELECT") {
        match session.version().flavour {
            Flavour::MySQL if !global.contains("SHOW_ROUTINE") => missing.push("SHOW_ROUTINE (on *.*)"),
            Flavour::MariaDB if !any.contains("SHOW CREATE ROUTINE") => {
                let (proc,): (i64,) = session.row(PROC, doing).await?;
                if proc == 0 {
                    missing.push("SELECT on mysql.proc");
                }
            }
            _ => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("it lacks {} (rights by a role are not counted)", missing.join(", "));
    Err(EngineError::PermissionDenied { doing: "see all of the database".to_owned(), why })
}

/// Rights of the session's account on everything.
pub async fn global(session: &mut Session) -> Result<BTreeSet<String>, EngineError> {
    session.run(ME, DOING).await?;
    let held: Vec<(String,)> = session
        .rows("SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = @sennight_me", DOING)
        .await?;
    Ok(held.into_iter().map(|(right,)| right).collect())
}

/// Whether the account may give its rights to others.
pub async fn may_grant(session: &mut Session) -> Result<bool, EngineError> {
    session.run(ME, DOING).await?;
    let query = "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES
        WHERE GRANTEE = @sennight_me AND PRIVILEGE_TYPE = 'EXECUTE' AND IS_GRANTABLE = 'YES'";
    let (count,): (i64,) = session.row(query, DOING).await?;
    Ok(count > 0)
}
