//! Connections: credentials from mounted files, TLS by mode, and the session settings without which rows are not the
//! same text twice.

use super::error::EngineError;
use super::tls;
use super::version::{Flavour, Version};
use crate::domain::target::DatabaseTarget;
use crate::engine::credentials::Credentials;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder, Row};
use std::time::Duration;

/// Address lookup, TCP, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a session may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The protocol's own limit of a value.
const PACKET: usize = 1 << 30;

/// What both directions rely on. A role's or the server's own `init_connect` may have said otherwise. `sql_mode` is without
/// NO_ZERO_DATE, NO_BACKSLASH_ESCAPES, ANSI_QUOTES and the strict modes: what was stored can be loaded again, and that it is
/// the same is compared, not hoped.
const SETTINGS: &str = "SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES',
 SESSION autocommit = 1, SESSION sql_quote_show_create = 1, SESSION sql_select_limit = DEFAULT, SESSION sql_big_selects = 1,
 SESSION sql_safe_updates = 0, SESSION net_write_timeout = 3600, SESSION net_read_timeout = 3600,
 SESSION wait_timeout = 28800, SESSION foreign_key_checks = 0, SESSION unique_checks = 0";
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
const MARIADB: &str =
    "SET SESSION max_statement_time = 0, SESSION check_constraint_checks = 0, SESSION system_versioning_asof = DEFAULT";
const MYSQL: &str = "SET SESSION max_execution_time = 0, SESSION information_schema_stats_expiry = 0";

/// A connection.
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

    /// Runs several statements, all of their results read: an error of any of them is the error.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), mysql_async::Error> {
        self.conn.query_drop(sql).await
    }

    /// Sets anew what other statements may have set otherwise.
    pub async fn prepare_again(&mut self) -> Result<(), EngineError> {
        let own = if self.version.flavour == Flavour::MariaDB { MARIADB } else { MYSQL };
        for settings in [SETTINGS, own] {
            self.run(settings, "preparing the session").await?;
        }
        Ok(())
    }

    /// Says goodbye, so that the server's log shows no lost connection.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.conn.disconnect()).await;
    }
}

fn converted<T: FromRow>(row: Row, doing: &str) -> Result<T, EngineError> {
    // Not the row's own words: they would quote its values.
    let wrong = |_| EngineError::Incomplete {
        what: doing.to_owned(),
        why: "the answer has another shape than asked for".to_owned(),
    };
    T::from_row_opt(row).map_err(wrong)
}

/// Opens a session on `database`, with the engine's settings. It must reach the server itself: a proxy that shares
/// connections would lose settings and snapshots.
pub async fn connect(target: &DatabaseTarget, database: &str, application: &str) -> Result<Session, EngineError> {
    let credentials = Credentials::read(&target.credentials_dir)?;
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
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(options)).await;
    let (host, port) = (target.host.as_str(), target.port);
    let conn = opened
        .map_err(|_| EngineError::Unreachable {
            host: host.to_owned(),
            port,
            why: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        })?
        .map_err(|error| EngineError::connect(host, port, database, &error))?;
    prepare(conn, target).await
}

async fn prepare(mut conn: Conn, target: &DatabaseTarget) -> Result<Session, EngineError> {
    let failed = |e: mysql_async::Error| EngineError::query("preparing the session", &e);
    let facts = "SELECT VERSION(), @@global.max_allowed_packet, @@global.local_infile";
    let row: Option<(String, u64, bool)> = conn.query_first(facts).await.map_err(failed)?;
    let (text, packet, local_infile) = row.unwrap_or_default();
    let version = Version::parse(&text).ok_or(EngineError::UnsupportedServer { version: text })?;
    version.check(target.engine)?;
    conn.query_drop(SETTINGS).await.map_err(failed)?;
    conn.query_drop(ISOLATION).await.map_err(failed)?;
    let own = if version.flavour == Flavour::MariaDB { MARIADB } else { MYSQL };
    conn.query_drop(own).await.map_err(failed)?;
    let max_allowed_packet = usize::try_from(packet).unwrap_or(PACKET).min(PACKET);
    Ok(Session { conn, version, max_allowed_packet, local_infile })
}
