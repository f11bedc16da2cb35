//! Every global variable that a server has, by its own list, and values of it that nobody who makes backups would choose.

use sennight_engine::mysql::{Session, literal};
use std::collections::BTreeMap;

/// Not tried, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "max_session_mem_used",
        "8 KiB crash MariaDB 10.11.19 itself, while it makes a session (signal 11 in THD's constructor)",
    ),
    ("innodb_encryption_threads", "makes threads, hundreds of them"),
    ("innodb_checksum_algorithm", "pages on disk that the server then takes for damaged ones"),
    ("wsrep_provider", "loads a library"),
    ("wsrep_cluster_address", "looks for a cluster"),
    ("wsrep_start_position", "is a cluster's"),
    ("gtid_slave_pos", "is the position of a replica"),
    ("gtid_binlog_state", "is the state of the binary log"),
    ("gtid_purged", "is the state of the binary log"),
    ("innodb_fast_shutdown", "is for the server's end"),
    ("innodb_force_recovery", "is for damaged servers"),
];

/// One value to be tried.
#[derive(Debug, Clone)]
pub struct Hostile {
    pub name: String,
    /// As SQL.
    pub value: String,
    /// The value that it had, as SQL.
    before: String,
}

impl Hostile {
    pub async fn set(&self, control: &mut Session) -> Result<(), String> {
        run(control, &format!("SET GLOBAL {} = {}", self.name, self.value)).await
    }

    pub async fn put_back(&self, control: &mut Session) {
        let back = run(control, &format!("SET GLOBAL {} = {}", self.name, self.before)).await;
        if back.is_err() {
            let _ = run(control, &format!("SET GLOBAL {} = DEFAULT", self.name)).await;
        }
    }
}

async fn run(control: &mut Session, statement: &str) -> Result<(), String> {
    control.run(statement, "test").await.map_err(|e| e.to_string())
}

/// What the server has, and what it shows of each.
pub async fn globals(control: &mut Session) -> BTreeMap<String, String> {
    let found: Vec<(String, Option<String>)> = control.rows("SHOW GLOBAL VARIABLES", "test").await.unwrap();
    found.into_iter().map(|(name, value)| (name.to_lowercase(), value.unwrap_or_default())).collect()
}

fn as_sql(value: &str) -> String {
    if value.parse::<f64>().is_ok() { value.to_owned() } else { literal(value) }
}

/// The values of a variable that is shown as `value`, the worst first.
fn values(name: &str, value: &str) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| literal(text)).collect::<Vec<_>>();
    let numbers = |numbers: &[u64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
    match name {
        "sql_mode" => texts(&[
            "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH",
            "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ONLY_FULL_GROUP_BY",
            "ORACLE",
            "MSSQL",
            "EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL,NO_ENGINE_SUBSTITUTION",
            "REAL_AS_FLOAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,NO_DIR_IN_CREATE",
            "TIME_TRUNCATE_FRACTIONAL",
        ]),
        "time_zone" => texts(&["-11:00"]),
        "system_versioning_asof" => texts(&["2020-01-01 00:00:00"]),
        "init_connect" => {
            texts(&["SET SESSION sql_select_limit = 3, sql_mode = 'ANSI', time_zone = '-05:00', autocommit = 0"])
        }
        "lc_messages" | "lc_time_names" => texts(&["ru_RU", "ja_JP"]),
        _ if name.starts_with("character_set") => texts(&["latin1", "sjis", "ucs2", "binary"]),
        _ if name.starts_with("collation") => texts(&["latin1_bin", "utf8mb4_bin"]),
        _ if name.contains("engine") && !value.is_empty() => {
            texts(&["MyISAM", "MEMORY"]).into_iter().chain(numbers(&[0, 1])).collect()
        }
        _ if value.contains("=on") || value.contains("=off") => {
            let flipped = value.replace("=on", "=@").replace("=off", "=on").replace("=@", "=off");
            vec![literal(&flipped)]
        }
        // More than nothing and less than the rows of a table.
        "sql_select_limit" => numbers(&[60, 0, 1, 7]),
        _ if value.parse::<f64>().is_ok() => {
            numbers(&[1, 0, 60, 65535]).into_iter().chain(["0.000001".to_owned()]).collect()
        }
        // Members of enumerations have numbers, sets of flags are their sums.
        _ => numbers(&[0, 1, 2, 3, 4, 5, 7]).into_iter().chain(texts(&["", "x", "*", "MyISAM"])).collect(),
    }
}

/// What can be tried, in turns of one value of each variable at most; what cannot, in words.
pub struct Plan {
    pub turns: Vec<Vec<Hostile>>,
    pub refused: Vec<String>,
    pub left_out: Vec<String>,
    pub variables: usize,
}

/// Asks the server which values it takes, one by one, and puts each back.
pub async fn plan(control: &mut Session) -> Plan {
    let have = globals(control).await;
    let (mut by_variable, mut refused, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in &have {
        if let Some((_, why)) = LEFT_OUT.iter().find(|(left, _)| left == name) {
            left_out.push(format!("{name} ({why})"));
            continue;
        }
        let (mut taken, mut shown, mut why) = (Vec::new(), vec![value.clone()], String::new());
        for wanted in values(name, value) {
            let hostile = Hostile { name: name.clone(), value: wanted, before: as_sql(value) };
            match hostile.set(control).await {
                Ok(()) => {
                    let query = format!("SHOW GLOBAL VARIABLES LIKE {}", literal(&name.replace('_', "\\_")));
                    let now: Vec<(String, Option<String>)> = control.rows(&query, "test").await.unwrap();
                    let now = now.into_iter().next().and_then(|(_, value)| value).unwrap_or_default();
                    hostile.put_back(control).await;
                    if !shown.contains(&now) {
                        shown.push(now);
                        taken.push(hostile);
                    }
                }
                Err(error) => why = error,
            }
        }
        if taken.is_empty() {
            let why =
                why.trim_start_matches("the server failed while test: ").split(" (error").next().unwrap_or_default();
            refused.push(format!("{name} ({})", why.replace(&format!("Variable '{name}' "), "")));
        } else {
            by_variable.push(taken);
        }
    }
    put_back(control, &have).await;
    let most = by_variable.iter().map(Vec::len).max().unwrap_or_default();
    let turn = |at: usize| by_variable.iter().filter_map(|taken| taken.get(at).cloned()).collect::<Vec<_>>();
    Plan { turns: (0..most).map(turn).collect(), refused, left_out, variables: by_variable.len() }
}

/// Puts back what some statement changed elsewhere, too: `super_read_only` switches `read_only` on, others are an old name or a
/// bound of another one. Gives what stays different.
pub async fn put_back(control: &mut Session, have: &BTreeMap<String, String>) -> Vec<String> {
    let mut left = Vec::new();
    for _ in 0..2 {
        let now = globals(control).await;
        let other = |(name, value): &(&String, &String)| now.get(*name) != Some(value) && !counts(name);
        left = have.iter().filter(other).map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in &left {
            let hostile = Hostile { name: name.clone(), value: String::new(), before: as_sql(value) };
            hostile.put_back(control).await;
        }
        if left.is_empty() {
            break;
        }
    }
    left.into_iter().map(|(name, value)| format!("{name} to {value:?}")).collect()
}

/// Those that the server changes by itself.
fn counts(name: &str) -> bool {
    ["gtid", "timestamp", "innodb_buffer_pool_load", "innodb_buffer_pool_dump", "last_"]
        .iter()
        .any(|n| name.starts_with(n))
}
