//! Opens sessions on MySQL and MariaDB: credentials from mounted files, TLS by mode, fixed session settings.

use super::error::EngineError;
use super::version::Version;
use super::{settings, tls};
use crate::credentials::Credentials;
use futures::FutureExt;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder, Row};
use sennight_protocol::target::DatabaseTarget;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Address lookup, TCP, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long closing a session may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The protocol's own limit of a value.
const PACKET: usize = 1 << 30;

/// One session on a server.
pub struct Session {
    conn: Conn,
    version: Version,
    max_allowed_packet: usize,
    local_infile: bool,
}

impl Session {
    /// The server's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether the server takes LOAD DATA LOCAL.
    pub fn local_infile(&self) -> bool {
        self.local_infile
    }

    /// Longest statement that the server takes, in bytes.
    pub fn max_allowed_packet(&self) -> usize {
        self.max_allowed_packet
    }

    /// The driver's own connection.
    pub(super) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// The server's number of this connection: what KILL takes.
    pub fn id(&self) -> u32 {
        self.conn.id()
    }

    /// Runs a statement whose rows nobody wants. `doing` is what an error says was under way.
    pub async fn run(&mut self, statement: &str, doing: &str) -> Result<(), EngineError> {
        self.conn.query_drop(statement).await.map_err(|e| EngineError::query(doing, &e))
    }

    /// All rows of a query.
    pub async fn rows<T>(&mut self, query: &str, doing: &str) -> Result<Vec<T>, EngineError>
    where
        T: FromRow + Send + 'static,
    {
        let rows: Vec<Row> = self.conn.query(query).await.map_err(|e| EngineError::query(doing, &e))?;
        rows.into_iter().map(|row| converted(row, doing)).collect()
    }

    /// The only row of a query.
    pub async fn row<T>(&mut self, query: &str, doing: &str) -> Result<T, EngineError>
    where
        T: FromRow + Send + 'static,
    {
        let row: Option<Row> = self.conn.query_first(query).await.map_err(|e| EngineError::query(doing, &e))?;
        let none = || EngineError::Incomplete { what: doing.to_owned(), why: "the server sent no row".to_owned() };
        converted(row.ok_or_else(none)?, doing)
    }

    /// Runs several statements, all of their results read: an error of any of them is the error. Returns how many rows they
    /// changed.
    pub(super) async fn script(&mut self, sql: &str) -> Result<i64, mysql_async::Error> {
        let (mut result, mut rows) = (self.conn.query_iter(sql).await?, 0_u64);
        loop {
            if result.columns_ref().is_empty() {
                rows = rows.saturating_add(result.affected_rows());
            }
            if result.is_empty() {
                return Ok(i64::try_from(rows).unwrap_or(i64::MAX));
            }
            result.for_each(drop).await?;
        }
    }

    /// Sets the session's settings again, after statements that may have changed them.
    pub async fn reset_settings(&mut self) -> Result<(), EngineError> {
        settings::apply(&mut self.conn, self.version.flavour).await
    }

    /// Fails unless the session has the settings that it was given.
    pub async fn check_settings(&mut self) -> Result<(), EngineError> {
        settings::check(&mut self.conn, self.version.flavour).await
    }

    /// Closes the session properly, so that the server's log shows no lost connection.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.conn.disconnect()).await;
    }
}

fn converted<T: FromRow>(row: Row, doing: &str) -> Result<T, EngineError> {
    // Without the driver's message: it would quote the row's values.
    let wrong = |_| EngineError::Incomplete {
        what: doing.to_owned(),
        why: "the answer has another shape than asked for".to_owned(),
    };
    T::from_row_opt(row).map_err(wrong)
}

/// Opens a session on `database`, with the engine's settings. It must reach the server itself: a proxy that shares
/// connections would lose settings and snapshots.
pub async fn connect(target: &DatabaseTarget, database: &str, application: &str) -> Result<Session, EngineError> {
    let credentials = Credentials::read(target)?;
    let options = OptsBuilder::default()
        .ip_or_hostname(target.host.clone())
        .tcp_port(target.port)
        .user(Some(credentials.username))
        .pass(Some(credentials.password))
        .db_name((!database.is_empty()).then(|| database.to_owned()))
        .ssl_opts(tls::options(target)?)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .max_allowed_packet(Some(PACKET))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0)
        .connect_attribute("program_name", application);
    // The driver panics over answers of a server that it did not expect while it logs in (an empty packet, an empty password for
    // parsec): that is this account's failure, and must not look like a fault of the task that wanted the connection.
    let opening = AssertUnwindSafe(Conn::new(options)).catch_unwind();
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
    let (host, port) = (target.host.as_str(), target.port);
    let conn = opened
        .map_err(|_| EngineError::Unreachable {
            host: host.to_owned(),
            port,
            why: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        })?
        .map_err(|_| EngineError::LoginBroken { host: host.to_owned(), port })?
        .map_err(|error| EngineError::connect(host, port, database, &error))?;
    prepare(conn, target).await
}

async fn prepare(mut conn: Conn, target: &DatabaseTarget) -> Result<Session, EngineError> {
    // Before the first query: a global sql_select_limit of 0 would hide its answer.
    settings::begin(&mut conn).await?;
    let facts = "SELECT VERSION(), @@global.max_allowed_packet, @@global.local_infile";
    let row: Result<Option<(String, u64, bool)>, _> = conn.query_first(facts).await;
    let (text, packet, local_infile) =
        row.map_err(|e| EngineError::query("preparing the session", &e))?.unwrap_or_default();
    let version = Version::parse(&text).ok_or(EngineError::UnsupportedServer { version: text })?;
    version.check(target.engine)?;
    settings::apply(&mut conn, version.flavour).await?;
    let max_allowed_packet = usize::try_from(packet).unwrap_or(PACKET).min(PACKET);
    Ok(Session { conn, version, max_allowed_packet, local_infile })
}
