//! Refusals of a preflight: why a full restore would fail. Each text names the object, what is wrong and the way out.

use sennight_core::result::Refusal;

/// Why a full restore would fail. The discriminant's name is the refusal's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[allow(missing_docs, reason = "each variant's message says what its fields are")]
pub enum PreflightRefusal {
    /// The server is a standby.
    #[error("the server is a standby and takes no changes: let the DatabaseServer point to the primary")]
    ServerReadOnly,
    /// The backup comes from a newer major.
    #[error(
        "the backup was made by PostgreSQL {backup}, the server is {server}: a dump does not load into an older server; restore into {backup} or newer"
    )]
    BackupNewerThanServer { backup: i32, server: i32 },
    /// `pg_restore` cannot read the archive.
    #[error(
        "the backup's schema was written by pg_dump {archive}, pg_restore here is {tools}, which cannot read it: use a worker image with the tools of PostgreSQL {archive}"
    )]
    ClientToolsTooOld { archive: i32, tools: i32 },
    /// The client tools have known holes.
    #[error("{why}")]
    ToolVulnerable { why: String },
    /// No client tools for this server.
    #[error("{why}")]
    ClientToolsMissing { why: String },
    /// There is no database to replace.
    #[error(
        "there is no database {database:?} on the server: create it (empty, with the right owner) or check database.name of the BackupSchedule"
    )]
    LiveDatabaseMissing { database: String },
    /// `ALLOW_CONNECTIONS` is off.
    #[error(
        "the database {database:?} allows no connections: ALTER DATABASE … ALLOW_CONNECTIONS true, or find out who closed it"
    )]
    LiveDatabaseClosed { database: String },
    /// It is a template.
    #[error("the database {database:?} is marked as a template: ALTER DATABASE … IS_TEMPLATE false")]
    LiveDatabaseIsTemplate { database: String },
    /// It is one that the server or Sennight itself needs.
    #[error(
        "{database:?} is the server's own or the maintenance database and cannot be swapped: a tenant needs a database of its own"
    )]
    LiveDatabaseReserved { database: String },
    /// No right to create databases.
    #[error("the restore role {role:?} may not create or rename databases: ALTER ROLE … CREATEDB")]
    CreateDbMissing { role: String },
    /// Not a member of the owner.
    #[error(
        "the restore role {role:?} does not have the rights of {owner:?}, the owner of {database:?}: GRANT … TO … (with INHERIT, and SET on 16 and later)"
    )]
    NotOwner { role: String, owner: String, database: String },
    /// Cannot end sessions.
    #[error("the restore role {role:?} may not end the tenant's sessions: GRANT pg_signal_backend TO it")]
    SignalMissing { role: String },
    /// The tablespace is closed to the role.
    #[error(
        "the restore role {role:?} may not create in tablespace {tablespace:?}, where {database:?} lies: GRANT CREATE ON TABLESPACE"
    )]
    TablespaceDenied { role: String, tablespace: String, database: String },
    /// Single tables or indexes lie in a tablespace that is not there.
    #[error(
        "tables or indexes of the backup lie in tablespaces that the server does not have: {tablespaces}; create them"
    )]
    TablespacesMissing { tablespaces: String },
    /// Single tables or indexes lie in a tablespace that is closed to the role.
    #[error(
        "the restore role {role:?} may not let the role that loads the backup create in tablespaces that tables or indexes of it lie in: {tablespaces}; GRANT CREATE ON TABLESPACE … TO it WITH GRANT OPTION"
    )]
    TablespacesDenied { role: String, tablespaces: String },
    /// A role is gone.
    #[error("roles that the backup's owners and grants name do not exist: {roles}; create them (NOLOGIN is enough)")]
    RolesMissing { roles: String },
    /// Objects cannot be given to their owners.
    #[error(
        "the restore role {role:?} is not a member of roles that own objects in the backup: {owners}; GRANT them to it"
    )]
    OwnersNotGranted { role: String, owners: String },
    /// No right to make the role that loads the backup.
    #[error(
        "the restore role {role:?} may not make the role that loads the backup, without which what the tenant wrote would run with the restore role's rights: {way_out} (docs/full-restore.md)"
    )]
    LoadingRoleDenied { role: String, way_out: String },
    /// The role that loads the backup was made and cannot log in.
    #[error(
        "the role that loads the backup ({name}, made for each restore) cannot log in: {why}; let roles of that name in by password (pg_hba.conf)"
    )]
    LoadingRoleRefused { name: String, why: String },
    /// The loading role cannot be made a member of an owner.
    #[error(
        "the restore role {role:?} may not make others members of roles that own objects in the backup: {owners}; GRANT … TO {role:?} WITH ADMIN OPTION"
    )]
    OwnersNotAdmin { role: String, owners: String },
    /// Roles that own other databases too, or superusers, own objects in the backup.
    #[error(
        "objects in the backup belong to superusers or to owners of other databases: {owners}; what this tenant wrote could reach those, so give its objects an owner of their own, or set allowSharedOwners of the DatabaseServer"
    )]
    OwnersShared { owners: String },
    /// The server does not have an extension.
    #[error("extensions of the backup are not installed on the server: {extensions}; install their packages")]
    ExtensionsMissing { extensions: String },
    /// The server has an older version than the backup.
    #[error(
        "extensions of the backup are older on the server: {extensions}; install the backup's version or a newer one"
    )]
    ExtensionsOlder { extensions: String },
    /// Only a superuser may create it.
    #[error(
        "only a superuser may create extensions of the backup: {extensions}; use a superuser as restore role, or mark them trusted"
    )]
    ExtensionsNeedSuperuser { extensions: String },
    /// Needs steps of its own around a restore.
    #[error(
        "extensions of the backup need steps of their own around a restore, which Sennight does not take: {extensions}; restore by the stock tools (docs/format.md)"
    )]
    ExtensionsUnsupported { extensions: String },
    /// Only a superuser may create it.
    #[error("the backup holds objects that only a superuser may create: {objects}; use a superuser as restore role")]
    ObjectsNeedSuperuser { objects: String },
    /// The server cannot make a database of this encoding and locale.
    #[error(
        "the server knows no locale {locale} with encoding {encoding}: install it, then pg_import_system_collations()"
    )]
    LocaleMissing { locale: String, encoding: String },
    /// A two-phase transaction is open.
    #[error(
        "prepared transactions stand in {database:?}: {gids}; COMMIT PREPARED or ROLLBACK PREPARED them, they block the swap"
    )]
    PreparedTransactions { database: String, gids: String },
    /// Somebody follows its changes.
    #[error(
        "logical replication slots on {database:?} would follow the old database: {slots}; drop them and set up change capture anew after the restore"
    )]
    LogicalSlots { database: String, slots: String },
    /// It follows somebody's changes.
    #[error(
        "subscriptions of {database:?} would go on in the old database: {subscriptions}; drop them and create them anew after the restore"
    )]
    Subscriptions { database: String, subscriptions: String },
    /// Sessions that the role may not end.
    #[error(
        "superusers' sessions on {database:?} cannot be ended by {role:?}: {sessions}; end them, or use a superuser as restore role"
    )]
    SuperuserSessions { database: String, role: String, sessions: String },
    /// A name that the restore needs is somebody's.
    #[error(
        "a database {name:?} exists without this request's mark: drop or rename it, Sennight touches nothing that it did not make"
    )]
    NameTaken { name: String },
    /// The request has had its effect.
    #[error(
        "this request was cut over before, its old database is {previous:?}: a new restore needs a new RestoreRequest"
    )]
    AlreadyCutOver { previous: String },
    /// The server's names are shorter than PostgreSQL's usual 63 bytes.
    #[error(
        "the name {name:?} has {length} bytes, the server allows {limit}: rename the tenant's database to a shorter one"
    )]
    NameTooLong { name: String, length: usize, limit: usize },
    /// A per-database setting that the role may not set.
    #[error(
        "the restore role {role:?} may not carry these settings of {database:?} over: {settings}; GRANT SET ON PARAMETER … TO it, or use a superuser"
    )]
    SettingsDenied { role: String, database: String, settings: String },
    /// A per-role setting of a role that it cannot act as.
    #[error(
        "the restore role {role:?} may not carry over what is set for these roles in {database:?}: {roles}; GRANT them to it, or use a superuser"
    )]
    RoleSettingsDenied { role: String, database: String, roles: String },
    /// There is nothing to go back to.
    #[error(
        "the database {name:?} (OID {oid}) that the restore had kept is {found}: the restore cannot be undone; its safety backup is named in the undone request's status"
    )]
    PreviousDatabaseGone { name: String, oid: u32, found: String },
    /// The live database is not the one that the undone request brought back.
    #[error(
        "{database:?} has OID {oid}, not {expected} that the restore brought back: something else replaced it since, which must be undone first"
    )]
    LiveDatabaseReplaced { database: String, oid: u32, expected: u32 },
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
        matches!(
            self,
            Self::PreparedTransactions { .. }
                | Self::SuperuserSessions { .. }
                | Self::LogicalSlots { .. }
                | Self::Subscriptions { .. }
        )
    }
}

impl From<&PreflightRefusal> for Refusal {
    fn from(refused: &PreflightRefusal) -> Self {
        Self { reason: refused.reason().to_owned(), message: refused.to_string() }
    }
}
