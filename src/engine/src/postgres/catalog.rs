//! Reads `pg_database` from the maintenance database. A restore identifies databases by OID: a swap changes names, never OIDs.

use super::connect::Session;
use super::error::EngineError;
use tokio_postgres::Row;

/// One row of `pg_database`, with its owner and comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// OID: stays the same when the database is renamed.
    pub oid: u32,
    /// Name at the moment of the query.
    pub name: String,
    /// Name of the owner.
    pub owner: String,
    /// Default tablespace.
    pub tablespace: String,
    /// False where `ALLOW_CONNECTIONS` is off.
    pub allows_connections: bool,
    /// True where it is a template.
    pub is_template: bool,
    /// `CONNECTION LIMIT`; -1 is none.
    pub connection_limit: i32,
    /// Comment; Sennight writes its marks there.
    pub comment: Option<String>,
}

const DATABASES: &str = "SELECT d.oid, d.datname::pg_catalog.text, pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text, t.spcname::pg_catalog.text,
        d.datallowconn, d.datistemplate, d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database')
   FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace";

/// The database of this name, if there is one.
pub async fn by_name(admin: &Session, name: &str) -> Result<Option<Database>, EngineError> {
    let doing = || format!("looking up the database {name:?}");
    let row = admin
        .query_opt(&format!("{DATABASES} WHERE d.datname = $1::pg_catalog.text"), &[&name])
        .await
        .map_err(|e| EngineError::query(doing(), e))?;
    row.map(|row| database(&row).map_err(|e| EngineError::query(doing(), e))).transpose()
}

/// The database with this OID, whatever it is called now.
pub async fn by_oid(admin: &Session, oid: u32) -> Result<Option<Database>, EngineError> {
    let doing = || format!("looking up the database with OID {oid}");
    let row = admin
        .query_opt(&format!("{DATABASES} WHERE d.oid = $1"), &[&oid])
        .await
        .map_err(|e| EngineError::query(doing(), e))?;
    row.map(|row| database(&row).map_err(|e| EngineError::query(doing(), e))).transpose()
}

fn database(row: &Row) -> Result<Database, tokio_postgres::Error> {
    Ok(Database {
        oid: row.try_get(0)?,
        name: row.try_get(1)?,
        owner: row.try_get(2)?,
        tablespace: row.try_get(3)?,
        allows_connections: row.try_get(4)?,
        is_template: row.try_get(5)?,
        connection_limit: row.try_get(6)?,
        comment: row.try_get(7)?,
    })
}
