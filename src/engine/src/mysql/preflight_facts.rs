//! The facts that a preflight collects about server, schema, account and backup, as plain values.

use super::script_needs::ScriptNeeds;
use sennight_core::manifest::ServerFacts;

/// All facts of one preflight.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct PreflightFacts {
    /// The live schema's name.
    pub database: String,
    /// `user@host` of the restore account.
    pub account: String,
    /// The server's version: major and minor.
    pub server: (i32, i32),
    /// The backup's version; `None` for an Undo.
    pub backup: Option<(i32, i32)>,
    /// What the backup's script needs; `None` where it was too large to look into.
    pub script_needs: Option<ScriptNeeds>,
    /// Definers that the server does not have: of the backup and of the live schema.
    pub definers_missing: Vec<String>,
    /// The server takes no changes.
    pub read_only: bool,
    /// The server is a replica.
    pub replica: bool,
    /// Galera, or group replication.
    pub clustered: bool,
    /// Which databases its binary log leaves out or keeps, where it does.
    pub log_filter: Option<String>,
    /// The binary log is on and functions are made by the trusted only.
    pub functions_guarded: bool,
    /// `lower_case_table_names` is not 0.
    pub folds_names: bool,
    /// The live schema exists.
    pub live: bool,
    /// The live schema is one of the server's own.
    pub reserved: bool,
    /// Rights that the account lacks.
    pub rights_missing: Vec<String>,
    /// The account has GRANT OPTION for EXECUTE.
    pub may_grant: bool,
    /// Rights on single routines of the live schema.
    pub routine_grants: Vec<String>,
    /// Tables of the live schema that are not InnoDB's.
    pub other_engines: Vec<String>,
    /// Foreign keys between the live schema and others.
    pub foreign: Vec<String>,
    /// Open two-phase transactions of the whole server: nobody can tell whose tables they hold.
    pub xa: Vec<String>,
    /// A backup that keeps everybody from renaming, by its session.
    pub backups: Vec<String>,
    /// Accounts that will be locked.
    pub accounts_to_lock: Vec<String>,
    /// Administrators with rights on the schema: not locked.
    pub administrators: Vec<String>,
    /// Names that the restore needs, those of schemas as directories have them in the second place.
    pub names_needed: Vec<(String, usize)>,
    /// Those of them that schemas without this request's mark have.
    pub names_in_use: Vec<String>,
    /// Name of this request's previous schema, if its swap took effect before.
    pub already_swapped: Option<String>,
    /// Name of the undone request's previous schema, if that is gone or has another mark (Undo).
    pub previous_gone: Option<String>,
    /// The live schema is not the one that the undone request brought: its number, and the expected one.
    pub replaced: Option<(u32, u32)>,
    /// Bytes that the server can spare, if the DatabaseServer says so.
    pub headroom_bytes: Option<i64>,
    /// Bytes that the restore takes beside the live schema; 0 for an Undo.
    pub needed_bytes: i64,
    /// Bytes of the live schema.
    pub live_bytes: i64,
    /// Number of sessions on the live schema.
    pub live_sessions: i64,
    /// Sentences for people, no refusals.
    pub notes: Vec<String>,
}

/// Bytes that the database took when it was dumped, or four times its row text if the backup does not say, plus a fifth.
pub fn needed_bytes(facts: &ServerFacts, raw_bytes: i64) -> i64 {
    let guess = raw_bytes.saturating_mul(4);
    let bytes = facts.database_bytes.unwrap_or(guess).max(raw_bytes);
    bytes.saturating_add(bytes / 5)
}
