//! Refusals of a preflight: why a full restore would fail. Each text names the object, what is wrong and the way out.

use sennight_core::result::Refusal;

/// Why a full restore would fail. The discriminant's name is the refusal's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[allow(missing_docs, reason = "each variant's message says what its fields are")]
pub enum PreflightRefusal {
    /// The server takes no changes.
    #[error("the server is read-only: let the DatabaseServer point to the primary")]
    ServerReadOnly,
    /// It follows another server.
    #[error(
        "the server is a replica: what is done on it would not be done on its source; let the DatabaseServer point to the primary"
    )]
    ServerIsReplica,
    /// Sessions of other nodes cannot be ended from here.
    #[error(
        "the server is a node of a cluster with several writers (Galera, group replication): sessions on the other nodes could not be fenced; restore into a directory (sennight restore --to-directory)"
    )]
    ServerClustered,
    /// Some of the restore's statements would be missing elsewhere.
    #[error(
        "the server's binary log is filtered ({filter}): its replicas would get a part of the restore; remove the filter from the primary"
    )]
    BinaryLogFiltered { filter: String },
    /// The backup comes from a newer version.
    #[error("the backup was made by version {backup}, the server is {server}: restore into {backup} or newer")]
    BackupNewerThanServer { backup: String, server: String },
    /// There is no schema to replace.
    #[error(
        "there is no database {database:?} on the server: create it (empty) or check database.name of the BackupSchedule"
    )]
    LiveDatabaseMissing { database: String },
    /// It is the server's own.
    #[error("{database:?} is the server's own and cannot be swapped: a tenant needs a database of its own")]
    LiveDatabaseReserved { database: String },
    /// Rights.
    #[error(
        "the restore account {account} lacks {rights} (rights by a role are not counted): GRANT them, docs/mysql.md has the list"
    )]
    RightsMissing { account: String, rights: String },
    /// Objects run as accounts that are gone.
    #[error("accounts that objects run as (DEFINER) do not exist: {accounts}; create them (ACCOUNT LOCK is enough)")]
    DefinersMissing { accounts: String },
    /// Functions and triggers.
    #[error(
        "the server writes a binary log and lets only some make functions and triggers: SET PERSIST log_bin_trust_function_creators = 1 (MariaDB: in the server's configuration), or GRANT SUPER to {account}"
    )]
    FunctionCreatorsNotTrusted { account: String },
    /// Rights on routines would be lost.
    #[error(
        "rights on single routines go when a routine is replaced, and {account} may not give them again: {grants}; GRANT … WITH GRANT OPTION to it, or grant EXECUTE on the database"
    )]
    RoutineGrants { account: String, grants: String },
    /// RENAME is atomic for InnoDB.
    #[error(
        "tables that are not InnoDB's cannot be swapped in one step: {tables}; convert them (ALTER TABLE … ENGINE=InnoDB)"
    )]
    NonTransactional { tables: String },
    /// They would silently follow the old table.
    #[error(
        "foreign keys between {database:?} and other databases would go on pointing to the replaced tables: {keys}; drop them and make them anew after the restore"
    )]
    ForeignKeysAcross { database: String, keys: String },
    /// Names would come back otherwise.
    #[error(
        "the server keeps names in small letters (lower_case_table_names) and the backup has capitals: restore on a server that keeps them"
    )]
    NamesFolded,
    /// A two-phase transaction is open.
    #[error(
        "XA transactions are prepared on the server: {xids}; XA COMMIT or XA ROLLBACK them, they may hold the tenant's tables"
    )]
    PreparedTransactions { xids: String },
    /// A backup runs.
    #[error("a backup of the server keeps everybody from renaming tables: {sessions}; wait for its end")]
    BackupRunning { sessions: String },
    /// A name that the restore needs is somebody's.
    #[error(
        "a database {name:?} exists without this request's mark: drop or rename it, Sennight touches nothing that it did not make"
    )]
    NameTaken { name: String },
    /// Names have an end.
    #[error(
        "the name {name:?} is too long for a database (64 characters, 255 bytes as a directory): give the tenant's database a shorter one"
    )]
    NameTooLong { name: String },
    /// The request has had its effect.
    #[error(
        "this request was cut over before, its old database is {previous:?}: a new restore needs a new RestoreRequest"
    )]
    AlreadyCutOver { previous: String },
    /// There is nothing to go back to.
    #[error(
        "the database {name:?} that the restore had kept is gone or carries another mark: the restore cannot be undone; its safety backup is named in the undone request's status"
    )]
    PreviousDatabaseGone { name: String },
    /// The live schema is not the one that the undone request brought back.
    #[error(
        "{database:?} has the number {number}, not {expected} that the restore brought back: something else replaced it since, which must be undone first"
    )]
    LiveDatabaseReplaced { database: String, number: u32, expected: u32 },
    /// Too little disk.
    #[error(
        "the restore needs about {needed} bytes beside the live database, the DatabaseServer has {headroom} to spare: free some or raise restoreHeadroomBytes"
    )]
    HeadroomTooSmall { needed: i64, headroom: i64 },
}

impl PreflightRefusal {
    /// The variant's name, as conditions and Events show it.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// True for what concerns only the moment of the swap: `prepare` need not wait for it.
    pub fn matters_at_the_swap_only(&self) -> bool {
        matches!(self, Self::PreparedTransactions { .. } | Self::BackupRunning { .. })
    }
}

impl From<&PreflightRefusal> for Refusal {
    fn from(refused: &PreflightRefusal) -> Self {
        Self { reason: refused.reason().to_owned(), message: refused.to_string() }
    }
}
