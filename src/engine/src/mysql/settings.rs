//! The settings of every session, each by its value. DEFAULT would be the server's GLOBAL value, and that may truncate answers,
//! hide columns or change text.

use super::error::EngineError;
use super::literal;
use super::version::Flavour;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;

/// Without NO_ZERO_DATE, NO_BACKSLASH_ESCAPES, ANSI_QUOTES and the strict modes: every stored value can be loaded again. That
/// it is the same value is compared afterwards.
const SQL_MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// The first statement, for every server: without it the next answers might be truncated. Shorter than the least
/// `max_allowed_packet`.
const FIRST: &str = "SET NAMES utf8mb4, SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
 SESSION sql_select_limit = 18446744073709551615, SESSION max_join_size = 18446744073709551615, SESSION sql_big_selects = 1, \
 SESSION sql_safe_updates = 0, SESSION sort_buffer_size = 2097152, SESSION time_zone = '+00:00'";
/// Set once and never checked: code that must not wait so long for a lock sets another value.
const LOCKS: &str = "SET SESSION lock_wait_timeout = 86400";

/// As [`FIRST`], for one engine only: limits that could end the query that reads the settings back.
const FIRST_MARIADB: &str = "SET SESSION max_session_mem_used = 9223372036854775807, tmp_disk_table_size = 18446744073709551615, max_statement_time = 0";
const FIRST_MYSQL: &str = "SET SESSION max_execution_time = 0";

/// Name, and the value as the server shows it.
type Setting = (&'static str, &'static str);

const EVERYWHERE: &[Setting] = &[
    // Limits that truncate or refuse answers.
    ("sql_select_limit", "18446744073709551615"),
    ("max_join_size", "18446744073709551615"),
    ("sql_big_selects", "ON"),
    ("sql_safe_updates", "OFF"),
    ("group_concat_max_len", "1048576"),
    ("max_sort_length", "1024"),
    ("sort_buffer_size", "2097152"),
    ("big_tables", "OFF"),
    ("net_write_timeout", "3600"),
    ("net_read_timeout", "3600"),
    ("wait_timeout", "28800"),
    ("innodb_lock_wait_timeout", "50"),
    // The text of values and definitions depends on these. MySQL writes sql_buffer_result into the text of views.
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("sql_mode", SQL_MODE),
    ("time_zone", "+00:00"),
    ("lc_time_names", "en_US"),
    ("div_precision_increment", "4"),
    ("default_week_format", "0"),
    ("sql_quote_show_create", "ON"),
    ("sql_buffer_result", "OFF"),
    ("sql_auto_is_null", "OFF"),
    // How and when rows are written.
    ("autocommit", "ON"),
    ("completion_type", "NO_CHAIN"),
    ("foreign_key_checks", "OFF"),
    ("unique_checks", "OFF"),
    ("default_storage_engine", "InnoDB"),
    ("auto_increment_increment", "1"),
    ("auto_increment_offset", "1"),
    ("explicit_defaults_for_timestamp", "ON"),
];

const MARIADB: &[Setting] = &[
    ("tx_isolation", "REPEATABLE-READ"),
    ("tx_read_only", "OFF"),
    ("max_statement_time", "0.000000"),
    ("idle_transaction_timeout", "0"),
    ("idle_readonly_transaction_timeout", "0"),
    ("idle_write_transaction_timeout", "0"),
    ("max_session_mem_used", "9223372036854775807"),
    ("max_tmp_session_space_usage", "0"),
    ("tmp_disk_table_size", "18446744073709551615"),
    // Otherwise rows of another instant than the snapshot's would be read.
    ("system_versioning_asof", AS_OF_NOW),
    ("query_cache_type", "OFF"),
    ("old_mode", "UTF8_IS_UTF8MB3"),
    ("default_regex_flags", ""),
    // If ON, a DROP or ALTER of a missing object would be no error.
    ("sql_if_exists", "OFF"),
    ("check_constraint_checks", "OFF"),
    ("alter_algorithm", "DEFAULT"),
    ("innodb_strict_mode", "OFF"),
    ("innodb_compression_default", "OFF"),
    // Another value is written into every definition.
    ("innodb_default_encryption_key_id", "1"),
];

const MYSQL: &[Setting] = &[
    ("transaction_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "OFF"),
    ("max_execution_time", "0"),
    ("information_schema_stats_expiry", "0"),
    // If OFF, generated invisible keys are hidden from the list of columns, and so from the rows.
    ("show_gipk_in_create_table_and_information_schema", "ON"),
    ("show_create_table_verbosity", "OFF"),
    ("default_collation_for_utf8mb4", "utf8mb4_0900_ai_ci"),
    ("windowing_use_high_precision", "ON"),
    ("terminology_use_previous", "NONE"),
];

/// Settings that help a load, if the account may set them (MySQL requires `SESSION_VARIABLES_ADMIN`).
const IF_ALLOWED: &[Setting] = &[
    ("innodb_strict_mode", "OFF"),
    ("sql_generate_invisible_primary_key", "OFF"),
    ("sql_require_primary_key", "OFF"),
    ("restrict_fk_on_non_standard_key", "OFF"),
];

/// `SET SESSION system_versioning_asof = DEFAULT` is no time at all, whatever the global value is (MariaDB 10.11 and 11.8): there is
/// no other way to say it.
const AS_OF_NOW: &str = "DEFAULT";

/// Variables in one SET: they fit into the least `max_allowed_packet`, 1024 bytes.
const AT_ONCE: usize = 8;
const PREPARING: &str = "preparing the session";

/// Sets what must be set before the first query.
pub async fn begin(conn: &mut Conn) -> Result<(), EngineError> {
    run(conn, FIRST).await?;
    run(conn, LOCKS).await
}

/// Sets the variables that have another value, then reads them back: a proxy that shares connections may lose them. Variables
/// that this version does not have are skipped.
pub async fn apply(conn: &mut Conn, flavour: Flavour) -> Result<(), EngineError> {
    run(conn, FIRST).await?;
    run(conn, if flavour == Flavour::MariaDB { FIRST_MARIADB } else { FIRST_MYSQL }).await?;
    let shown = shown(conn).await?;
    let different = different(flavour, &shown);
    for some in different.chunks(AT_ONCE) {
        let each: Vec<String> = some.iter().map(|setting| format!("SESSION {}", assignment(setting))).collect();
        run(conn, &format!("SET {}", each.join(", "))).await?;
    }
    for setting in IF_ALLOWED.iter().filter(|setting| differs(setting, &shown)) {
        let _ = run(conn, &format!("SET SESSION {}", assignment(setting))).await;
    }
    if different.is_empty() { Ok(()) } else { check(conn, flavour).await }
}

/// Fails unless the session has the settings that it was given.
pub async fn check(conn: &mut Conn, flavour: Flavour) -> Result<(), EngineError> {
    let shown = shown(conn).await?;
    let mut lost: Vec<&str> = different(flavour, &shown).into_iter().map(|(name, _)| name).collect();
    if !shown.contains_key("sql_select_limit") {
        lost.push("sql_select_limit");
    }
    if lost.is_empty() { Ok(()) } else { Err(EngineError::SettingsLost { settings: lost.join(", ") }) }
}

async fn shown(conn: &mut Conn) -> Result<BTreeMap<String, String>, EngineError> {
    type Shown = (Vec<u8>, Option<Vec<u8>>);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    // Not a list of names: the statement would be longer than the least max_allowed_packet.
    let shown: Vec<Shown> =
        conn.query("SHOW SESSION VARIABLES").await.map_err(|e| EngineError::query(PREPARING, &e))?;
    Ok(shown.into_iter().map(|(name, value)| (text(name).to_lowercase(), text(value.unwrap_or_default()))).collect())
}

fn different(flavour: Flavour, shown: &BTreeMap<String, String>) -> Vec<Setting> {
    let own = if flavour == Flavour::MariaDB { MARIADB } else { MYSQL };
    EVERYWHERE.iter().chain(own).filter(|setting| differs(setting, shown)).copied().collect()
}

fn differs((name, value): &Setting, shown: &BTreeMap<String, String>) -> bool {
    shown.get(*name).is_some_and(|now| now != value)
}

fn assignment((name, value): &Setting) -> String {
    let bare = value.parse::<f64>().is_ok() || *value == "ON" || *value == "OFF" || *name == "system_versioning_asof";
    if bare { format!("{name} = {value}") } else { format!("{name} = {}", literal(value)) }
}

async fn run(conn: &mut Conn, statement: &str) -> Result<(), EngineError> {
    conn.query_drop(statement).await.map_err(|e| EngineError::query(PREPARING, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_fits_into_the_least_packet_and_says_values() {
        assert!(FIRST.len() < 1000 && !FIRST.contains("DEFAULT") && FIRST.contains(SQL_MODE), "{}", FIRST.len());
        for flavour in [Flavour::MariaDB, Flavour::MySQL] {
            let hostile = |(name, _): &Setting| ((*name).to_owned(), "hostile".to_owned());
            let shown = EVERYWHERE.iter().chain(MARIADB).chain(MYSQL).map(hostile).collect();
            let all = different(flavour, &shown);
            assert!(all.len() > EVERYWHERE.len());
            for some in all.chunks(AT_ONCE) {
                let length: usize = some.iter().map(|setting| assignment(setting).len() + "SESSION , ".len()).sum();
                assert!(length < 1000, "{some:?}");
            }
        }
        assert_eq!(assignment(&("tx_isolation", "REPEATABLE-READ")), "tx_isolation = 'REPEATABLE-READ'");
        assert_eq!(assignment(&("sql_big_selects", "ON")), "sql_big_selects = ON");
        assert!(different(Flavour::MySQL, &BTreeMap::new()).is_empty(), "what a version does not have is not set");
    }
}
