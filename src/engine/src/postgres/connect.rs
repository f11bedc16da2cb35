//! Opens sessions on PostgreSQL: credentials from mounted files, TLS by mode, and the settings of [`super::startup`].

use super::copy_stream::{CleartextAsked, CopyStreamConnect};
use super::error::{EngineError, words};
use super::raw_session::RawSession;
use super::row_buffer::RowBuffer;
use super::startup::{self, Purpose};
use super::tls;
use crate::credentials::Credentials;
use sennight_core::engine::TlsMode;
use sennight_protocol::target::DatabaseTarget;
use std::error::Error as _;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Address lookup, TCP, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long closing a session may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The oldest major that has what the engine relies on.
const OLDEST_MAJOR: i32 = 13;

/// Settings that only a statement can set, or that not every version has. With `synchronous_commit` off, a crash of the server
/// could undo a swap, or rows, that were reported as committed.
/// `restrict_nonsystem_relation_kind` came with minor versions (13.16, 14.13, 15.8, 16.4). With it a statement that means
/// a table or a sequence cannot be made to run a view that somebody put in its place.
const SETTINGS: &str = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) WHERE pg_catalog.current_setting('synchronous_commit') = 'off';";
const TABLES_ONLY: &str = "SELECT pg_catalog.set_config(name, 'view, foreign-table', false)
   FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind';";

/// Who logs in.
#[derive(Clone, Copy)]
pub enum Login<'a> {
    /// The role of the target's Secret.
    Own,
    /// A role that this worker made.
    As(&'a Credentials),
}

/// One session on a server. Dropped in the middle of a COPY it closes the socket at once, without reading the rest.
pub struct Session {
    client: Client,
    driver: Driver,
    row_buffer: Arc<RowBuffer>,
    server_major: i32,
    encoding: String,
    backend_pid: i32,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// The server's major version.
    pub fn server_major(&self) -> i32 {
        self.server_major
    }

    /// The database's encoding. Statements and answers are UTF-8 whatever it is; COPY takes it by its ENCODING option.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// The process id of the server's side: what `pg_terminate_backend` takes.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// Where the rows of COPYs go while it is open.
    pub(super) fn row_buffer(&self) -> &Arc<RowBuffer> {
        &self.row_buffer
    }

    /// Closes the session properly, so that the server's log shows no lost connection.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, &mut driver.0).await;
    }
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Opens a session on `database` (the tenant's own, the maintenance one or a prepared one) with the engine's settings.
/// It must reach the server itself: a pooler in transaction mode would lose settings and snapshots.
pub async fn connect(target: &DatabaseTarget, database: &str, application_name: &str) -> Result<Session, EngineError> {
    open_session(target, Login::Own, database, application_name, Purpose::Write, &[]).await
}

/// As [`connect`], to read: its transactions are read-only, and what means a table reads no view.
pub async fn connect_to_read(
    target: &DatabaseTarget,
    database: &str,
    application_name: &str,
) -> Result<Session, EngineError> {
    open_session(target, Login::Own, database, application_name, Purpose::Read, &[]).await
}

/// As [`connect`], as another role, with more settings.
pub async fn connect_as(
    target: &DatabaseTarget,
    login: Login<'_>,
    database: &str,
    application_name: &str,
    settings: &[(&str, &str)],
) -> Result<Session, EngineError> {
    open_session(target, login, database, application_name, Purpose::Write, settings).await
}

async fn open_session(
    target: &DatabaseTarget,
    login: Login<'_>,
    database: &str,
    application_name: &str,
    purpose: Purpose,
    settings: &[(&str, &str)],
) -> Result<Session, EngineError> {
    let (mut config, tls, user) = config(target, login, database, application_name)?;
    config.options(startup::session_options(purpose, &user, settings));
    let row_buffer = Arc::new(RowBuffer::default());
    let opened = open(
        &config,
        CopyStreamConnect { tls, row_buffer: row_buffer.clone(), refuse_cleartext: is_unverified(target) },
        target,
        database,
    )
    .await?;
    prepare(opened, row_buffer, purpose, (&user, settings)).await
}

/// Opens a session for a client tool, with the settings of the tools and `settings`.
pub async fn open_raw(
    target: &DatabaseTarget,
    login: Login<'_>,
    database: &str,
    application_name: &str,
    settings: &[(&str, &str)],
) -> Result<RawSession, EngineError> {
    let (mut config, tls, user) = config(target, login, database, application_name)?;
    config.options(startup::tool_options(Purpose::Write, settings));
    let connect = CopyStreamConnect { tls, row_buffer: Arc::default(), refuse_cleartext: is_unverified(target) };
    let first = startup::first_statement();
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, RawSession::open(&config, connect, &first)).await;
    let unreached = |why| EngineError::Unreachable { host: target.host.clone(), port: target.port, why };
    match opened {
        Err(_) => Err(unreached(no_answer())),
        Ok(Err(error)) => Err(refused(target, database, &error)),
        Ok(Ok(None)) => Err(unreached("the driver has kept the connection".to_owned())),
        Ok(Ok(Some((session, answer)))) => {
            startup::tool_settings_in_force(&answer, &user)?;
            Ok(session)
        }
    }
}

/// The driver's settings of a login, TLS, and the name of who logs in.
fn config(
    target: &DatabaseTarget,
    login: Login<'_>,
    database: &str,
    application_name: &str,
) -> Result<(Config, Option<MakeRustlsConnect>, String), EngineError> {
    let own;
    let credentials = match login {
        Login::As(credentials) => credentials,
        Login::Own => {
            own = Credentials::read(target)?;
            &own
        }
    };
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .user(&credentials.username)
        .password(&credentials.password)
        .dbname(database)
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .ssl_mode(SslMode::Require);
    let tls = tls::client_config(target)?.map(MakeRustlsConnect::new);
    if tls.is_none() {
        // "Direct" makes the driver pass the plain connection to `CopyStreamConnect` at once, which adds no TLS here.
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    Ok((config, tls, credentials.username.clone()))
}

/// Whether anybody could be at the other end.
pub(super) fn is_unverified(target: &DatabaseTarget) -> bool {
    matches!(target.tls.mode, TlsMode::Disable | TlsMode::Require)
}

fn no_answer() -> String {
    format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())
}

async fn open(
    config: &Config,
    tls: CopyStreamConnect,
    target: &DatabaseTarget,
    database: &str,
) -> Result<(Client, Driver), EngineError> {
    let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, config.connect(tls))
        .await
        .map_err(|_| EngineError::Unreachable { host: target.host.clone(), port: target.port, why: no_answer() })?
        .map_err(|error| refused(target, database, &error))?;
    let driver = tokio::spawn(async move {
        // Only debug: whoever waits for an answer gets the error.
        if let Err(error) = connection.await {
            tracing::debug!(error = words(&error), "database connection ended");
        }
    });
    Ok((client, Driver(driver)))
}

async fn prepare(
    (client, driver): (Client, Driver),
    row_buffer: Arc<RowBuffer>,
    purpose: Purpose,
    (user, settings): (&str, &[(&str, &str)]),
) -> Result<Session, EngineError> {
    let failed = |error| EngineError::query("preparing the session", error);
    let row = client.query_one(&startup::first_statement(), &[]).await.map_err(failed)?;
    startup::in_force(&row, user, settings)?;
    let version: String = row.try_get(0).map_err(failed)?;
    let server_major = version.parse::<i32>().map_or(0, |number| number / 10000);
    if server_major < OLDEST_MAJOR {
        return Err(EngineError::UnsupportedServer { major: server_major });
    }
    let mut settings = SETTINGS.to_owned();
    if server_major >= 14 {
        // With the second one the server notices within seconds that a killed worker's query has no client any more.
        settings.push_str("SET idle_session_timeout = 0; SET client_connection_check_interval = '10s';");
    }
    if server_major >= 17 {
        settings.push_str("SET transaction_timeout = 0;");
    }
    if purpose == Purpose::Read {
        settings.push_str(TABLES_ONLY);
    }
    client.batch_execute(&settings).await.map_err(failed)?;
    Ok(Session {
        server_major,
        encoding: row.try_get(1).map_err(failed)?,
        backend_pid: row.try_get(2).map_err(failed)?,
        client,
        driver,
        row_buffer,
    })
}

fn refused(target: &DatabaseTarget, database: &str, error: &tokio_postgres::Error) -> EngineError {
    let (host, port, why) = (target.host.clone(), target.port, words(error));
    let Some(code) = error.code() else {
        if asks_for_cleartext(error) {
            return EngineError::CleartextRefused { host, port };
        }
        return if tls_is_to_blame(error) {
            EngineError::TlsRefused { host, port, why }
        } else {
            EngineError::Unreachable { host, port, why }
        };
    };
    match code {
        // The message of PgBouncer and other poolers: they accept a few startup parameters and refuse the rest.
        c if *c == SqlState::PROTOCOL_VIOLATION && why.contains("startup parameter") => {
            EngineError::SettingsIgnored { setting: "options".to_owned(), wanted: "taken".to_owned(), found: why }
        }
        c if *c == SqlState::INVALID_CATALOG_NAME => {
            EngineError::DatabaseMissing { host, port, database: database.to_owned() }
        }
        c if c.code().starts_with("28") => EngineError::LoginRefused { host, port, why },
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => {
            EngineError::PermissionDenied { doing: format!("connect to the database {database:?}"), why }
        }
        c if c.code().starts_with("53") || c.code().starts_with("57P") => EngineError::ServerBusy { host, port, why },
        _ => EngineError::Unreachable { host, port, why },
    }
}

/// Whether rustls refused the handshake, or the server has no TLS. A handshake that a crash or a restart interrupted is neither:
/// the next attempt may succeed.
fn tls_is_to_blame(error: &tokio_postgres::Error) -> bool {
    if interrupted(error) {
        return false;
    }
    if error.to_string().contains("TLS") {
        return true;
    }
    let mut cause = error.source();
    while let Some(next) = cause {
        let inside = next
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        if inside || next.is::<rustls::Error>() {
            return true;
        }
        cause = next.source();
    }
    false
}

/// Whether [`CopyStreamConnect`] has refused to tell the password.
fn asks_for_cleartext(error: &tokio_postgres::Error) -> bool {
    let inside =
        error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).and_then(std::io::Error::get_ref);
    inside.is_some_and(<dyn std::error::Error + Send + Sync>::is::<CleartextAsked>)
}

/// Whether the other side closed the connection.
fn interrupted(error: &tokio_postgres::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = error.source();
    while let Some(next) = cause {
        let kind = next.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind.is_some_and(|kind| matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)) {
            return true;
        }
        cause = next.source();
    }
    false
}
