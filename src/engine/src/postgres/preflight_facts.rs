//! The facts that a preflight collects, as plain values. The rules over them are in [`super::preflight_rules`].

use super::catalog::Database;
use super::loading_role::Means;
use super::owners::OwnerState;
use sennight_core::manifest::{Extension, ServerFacts};

/// The restore role and its rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreRole {
    /// Name by which statements refer to it.
    pub name: String,
    /// It is a superuser.
    pub superuser: bool,
    /// It has CREATEDB.
    pub create_db: bool,
    /// It may end other roles' sessions (`pg_signal_backend`).
    pub signal: bool,
}

/// A role that the backup names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct RoleState {
    /// Name by which statements refer to it.
    pub name: String,
    /// It exists on the server.
    pub exists: bool,
    /// It owns something in the backup.
    pub owns: bool,
    /// The restore role has its rights.
    pub granted: bool,
    /// The restore role may make others members of it.
    pub admin: bool,
}

/// A tablespace that single tables or indexes of the backup lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceState {
    /// Name by which statements refer to it.
    pub name: String,
    /// It exists on the server.
    pub exists: bool,
    /// The restore role may let others create in it.
    pub allowed: bool,
}

/// What the server offers for an extension of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionOffer {
    /// The version that `CREATE EXTENSION` would install; `None` where it is not there.
    pub version: Option<String>,
    /// Only a superuser may create it.
    pub superuser_only: bool,
}

/// All facts of one preflight.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct PreflightFacts {
    /// The live database's name.
    pub database: String,
    /// The server's major version.
    pub server_major: i32,
    /// It is a standby.
    pub in_recovery: bool,
    /// The server that the backup was made from.
    pub backup: ServerFacts,
    /// Bytes of row text in the backup.
    pub backup_raw_bytes: i64,
    /// Major of the client tools that would be used, or why there are none.
    pub tools_major: Result<i32, String>,
    /// Major of the tool that wrote the schema archive, where its version was readable.
    pub archive_major: Option<i32>,
    /// The live database is the maintenance database or one that every server has.
    pub reserved: bool,
    /// The live database, if it exists.
    pub live: Option<Database>,
    /// Bytes that the live database takes; 0 where the role may not ask.
    pub live_bytes: i64,
    /// Client sessions on it.
    pub live_sessions: i64,
    /// The restore role.
    pub role: RestoreRole,
    /// The role has the rights of the live database's owner.
    pub is_owner: bool,
    /// The role may create in the live database's tablespace.
    pub tablespace_allowed: bool,
    /// The roles that the backup names.
    pub roles: Vec<RoleState>,
    /// How the restore role can make a loading role; `None` if it cannot.
    pub loading_role: Option<Means>,
    /// The roles that own something in the backup.
    pub owners: Vec<OwnerState>,
    /// The platform team has said that tenants share owners.
    pub allow_shared_owners: bool,
    /// Objects of the backup that only a superuser may create.
    pub superuser_objects: Vec<String>,
    /// Tablespaces of single tables and indexes of the backup.
    pub tablespaces: Vec<TablespaceState>,
    /// The server can make a database of the backup's encoding and locale.
    pub locale_known: bool,
    /// Bytes that the server can spare, where somebody has said.
    pub headroom_bytes: Option<i64>,
    /// What the server has for each of the backup's extensions, in their order.
    pub offers: Vec<ExtensionOffer>,
    /// Prepared transactions in the live database.
    pub prepared_transactions: Vec<String>,
    /// Logical replication slots on it.
    pub logical_slots: Vec<String>,
    /// Names of the live database's subscriptions.
    pub subscriptions: Vec<String>,
    /// Superusers' sessions on it, as `role (application)`.
    pub superuser_sessions: Vec<String>,
    /// Database names that the restore needs.
    pub names_needed: Vec<String>,
    /// Those of them that databases without this request's mark have.
    pub names_in_use: Vec<String>,
    /// Name of this request's previous database, if its swap took effect before.
    pub already_swapped: Option<String>,
    /// Longest name that the server keeps whole, in bytes.
    pub name_limit: usize,
    /// Settings of the live database that the role may not set.
    pub settings_denied: Vec<String>,
    /// Roles with settings in the live database that the role cannot act as.
    pub role_settings_denied: Vec<String>,
    /// Sentences for people, no refusals.
    pub notes: Vec<String>,
}

impl PreflightFacts {
    /// The backup's extensions, each with what the server offers.
    pub fn extensions(&self) -> impl Iterator<Item = (&Extension, &ExtensionOffer)> {
        self.backup.extensions.iter().zip(&self.offers)
    }

    /// Bytes that the new database will take on disk: what the database took when it was dumped, or a guess from its rows and
    /// from what the live one takes now.
    pub fn needed_bytes(&self) -> i64 {
        let guess = self.backup_raw_bytes.max(self.live_bytes);
        self.backup.database_bytes.unwrap_or(guess).max(self.backup_raw_bytes)
    }
}

#[cfg(test)]
/// A server on which a restore works.
pub(super) fn fine() -> PreflightFacts {
    let live = Database {
        oid: 7,
        name: "acme".to_owned(),
        owner: "acme_owner".to_owned(),
        tablespace: "pg_default".to_owned(),
        allows_connections: true,
        is_template: false,
        connection_limit: -1,
        comment: None,
    };
    let backup = ServerFacts {
        version: "PostgreSQL 16.4".to_owned(),
        major: 16,
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        locale: None,
        extensions: vec![Extension { name: "citext".to_owned(), version: "1.6".to_owned() }],
        icu_rules: None,
        database_bytes: Some(1000),
    };
    PreflightFacts {
        database: "acme".to_owned(),
        server_major: 16,
        in_recovery: false,
        backup,
        backup_raw_bytes: 500,
        tools_major: Ok(16),
        archive_major: Some(16),
        reserved: false,
        live: Some(live),
        live_bytes: 800,
        live_sessions: 0,
        role: RestoreRole { name: "r".to_owned(), superuser: false, create_db: true, signal: true },
        is_owner: true,
        tablespace_allowed: true,
        roles: Vec::new(),
        loading_role: Some(Means::Statements),
        owners: Vec::new(),
        allow_shared_owners: false,
        superuser_objects: Vec::new(),
        tablespaces: Vec::new(),
        locale_known: true,
        headroom_bytes: Some(1000),
        offers: vec![ExtensionOffer { version: Some("1.6".to_owned()), superuser_only: false }],
        prepared_transactions: Vec::new(),
        logical_slots: Vec::new(),
        subscriptions: Vec::new(),
        superuser_sessions: Vec::new(),
        names_needed: vec!["acme__r0".to_owned()],
        names_in_use: Vec::new(),
        already_swapped: None,
        name_limit: 63,
        settings_denied: Vec::new(),
        role_settings_denied: Vec::new(),
        notes: Vec::new(),
    }
}
