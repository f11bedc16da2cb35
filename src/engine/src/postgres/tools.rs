//! Finds and runs pg_dump and pg_restore. Names and passwords go through the environment and private files, never arguments.

use super::connect::is_unverified;
use super::error::EngineError;
use super::plain_text;
use super::startup::{Purpose, tool_options};
use super::tls::client_certificate_files;
use crate::credentials::Credentials;
use parking_lot::Mutex;
use sennight_core::engine::TlsMode;
use sennight_protocol::target::DatabaseTarget;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// Where Debian and the PGDG packages put every major's programs.
const DEFAULT_ROOT: &str = "/usr/lib/postgresql";
/// Environment variable that names another place of the same shape, `<root>/<major>/bin`.
pub const ROOT_VARIABLE: &str = "SENNIGHT_PG_BIN_ROOT";
/// libpq's variable of the settings that a session begins with.
const OPTIONS_VARIABLE: &str = "PGOPTIONS";
/// Bytes of a tool's stderr that are kept, of its beginning and of its end: between them a failed query is quoted, which may name
/// thousands of tables.
const STDERR_KEPT: usize = 2048;

/// The client tools of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    major: i32,
    bin: PathBuf,
}

impl Tools {
    /// The lowest installed major that is not older than the server: pg_dump refuses newer servers, and pg_restore of
    /// a much newer major sends settings that an old server does not know.
    pub fn find(server_major: i32) -> Result<Self, EngineError> {
        let root = std::env::var_os(ROOT_VARIABLE).unwrap_or_else(|| DEFAULT_ROOT.into());
        Self::find_in(Path::new(&root), server_major)
    }

    /// [`Tools::find`] under another root.
    pub fn find_in(root: &Path, server_major: i32) -> Result<Self, EngineError> {
        let bin = |major: i32| root.join(major.to_string()).join("bin");
        let mut installed: Vec<i32> = std::fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|major| bin(*major).join("pg_dump").is_file())
            .collect();
        installed.sort_unstable();
        match installed.iter().find(|major| **major >= server_major) {
            Some(major) => Ok(Self { major: *major, bin: bin(*major) }),
            None => Err(EngineError::ToolMissing { server_major, root: root.to_owned(), installed }),
        }
    }

    /// The tools' major version.
    pub fn major(&self) -> i32 {
        self.major
    }

    /// Name and version of a tool as it prints them, for the manifest. Cached: a worker's tools do not change, and
    /// a process costs as much as the rows of a small table.
    pub async fn version(&self, tool: &str) -> Result<String, EngineError> {
        static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
        let path = self.bin.join(tool);
        if let Some(version) = KNOWN.lock().get(&path) {
            return Ok(version.clone());
        }
        let output = Command::new(&path)
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| EngineError::ToolBroken { tool: tool.to_owned(), source })?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        KNOWN.lock().insert(path, version.clone());
        Ok(version)
    }

    /// Fails unless the tool has the mends of its major version. Archives come from a bucket, and databases from tenants.
    pub async fn check(&self, tool: &str) -> Result<(), EngineError> {
        let version = self.version(tool).await?;
        match vulnerable(&version) {
            None => Ok(()),
            Some(needs) => Err(EngineError::ToolVulnerable { tool: tool.to_owned(), has: version, needs }),
        }
    }

    /// A command for `tool` that reaches the database of `access` by its environment alone. `pg_restore` wants to be
    /// told that it shall connect: give it `--dbname=` with an empty value.
    pub fn command(&self, tool: &str, access: &Access) -> Command {
        let mut command = Command::new(self.bin.join(tool));
        command
            .env_clear()
            .envs(access.environment.iter().cloned())
            .current_dir(access.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// How a client tool reaches one database: libpq's environment, and a directory that only this process's user can enter. The
/// directory goes when the value does.
///
/// A database name in an argument is read as a connection string if it looks like one (`host=…` would lead the dump to
/// another server); `PGDATABASE` is taken as it is, and unlike a service file keeps spaces and line ends.
pub struct Access {
    dir: tempfile::TempDir,
    environment: Vec<(&'static str, OsString)>,
}

impl Access {
    /// A private directory under `$TMPDIR` (in pods an emptyDir), and no way to any server: for looking into an archive.
    pub fn none() -> Result<Self, EngineError> {
        let dir = tempfile::Builder::new().prefix("sennight-").tempdir().map_err(broken)?;
        let environment: Vec<(&'static str, OsString)> = vec![
            // libpq would trust ~/.postgresql/root.crt and read ~/.pgpass.
            ("HOME", dir.path().into()),
            ("LC_ALL", "C".into()),
            ("TZ", "UTC".into()),
        ];
        Ok(Self { dir, environment })
    }

    /// The way to the relay whose socket is in the directory: no password, no certificate.
    pub fn through_relay(database: &str, user: &str) -> Result<Self, EngineError> {
        let mut access = Self::none()?;
        access.environment.extend([
            ("PGHOST", access.dir.path().into()),
            ("PGPORT", super::relay::PORT.into()),
            ("PGDATABASE", database.into()),
            ("PGUSER", user.into()),
        ]);
        Ok(access)
    }

    /// The way of `pg_dump` to the database, with private files for password and key.
    pub fn to_read(target: &DatabaseTarget, database: &str, application_name: &str) -> Result<Self, EngineError> {
        let mut access = Self::none()?;
        let dir = access.dir.path();
        let credentials = Credentials::read(target)?;
        let passfile = dir.join("pgpass");
        private_file(&passfile, pgpass(&credentials.password).as_bytes()).map_err(broken)?;
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", (&target.host).into()),
            ("PGPORT", target.port.to_string().into()),
            ("PGDATABASE", database.into()),
            ("PGUSER", credentials.username.into()),
            ("PGPASSFILE", passfile.into()),
            ("PGAPPNAME", application_name.into()),
            ("PGCONNECT_TIMEOUT", "30".into()),
            ("PGGSSENCMODE", "disable".into()),
            ("PGSSLMODE", ssl_mode(target.tls.mode).into()),
            (OPTIONS_VARIABLE, tool_options(Purpose::Read, &[]).into()),
        ];
        if is_unverified(target) {
            // libpq from 16 on knows it: whoever asks for a password in clear text gets none.
            environment.push(("PGREQUIREAUTH", "!password".into()));
        }
        if matches!(target.tls.mode, TlsMode::VerifyCA | TlsMode::VerifyFull) {
            let roots = target.tls.ca_file.as_ref().map_or_else(system_roots, PathBuf::from);
            environment.push(("PGSSLROOTCERT", roots.into()));
        }
        if let Some(from) = &target.tls.client_cert_dir {
            let (certificate, key) = client_certificate_files(from);
            let bytes =
                std::fs::read(&key).map_err(|source| EngineError::CredentialsUnreadable { path: key, source })?;
            // libpq refuses a key that others may read, and a mounted Secret is group-readable.
            let private_key = dir.join("tls.key");
            private_file(&private_key, &bytes).map_err(broken)?;
            environment.push(("PGSSLCERT", certificate.into()));
            environment.push(("PGSSLKEY", private_key.into()));
        }
        access.environment.extend(environment);
        Ok(access)
    }

    /// The private directory: a place for small scratch files that goes with the value.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// The first minor versions without the holes of pg_dump that let an archive run code (CVE-2025-8714, CVE-2025-8715), and without
/// that of libpq by which a server overwrites the client's memory (CVE-2025-12818).
const MENDED: [(u32, u32); 6] = [(13, 23), (14, 20), (15, 15), (16, 11), (17, 7), (18, 1)];

/// The version that is needed, if `pg_dump (PostgreSQL) 15.3 (Debian …)` is older.
fn vulnerable(version: &str) -> Option<String> {
    let number = version.split_once("(PostgreSQL) ")?.1.split(' ').next()?;
    let (major, minor) = number.split_once('.')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let (_, needed) = MENDED.iter().find(|(of, _)| *of == major)?;
    (minor < *needed).then(|| format!("{major}.{needed}"))
}

fn broken(source: std::io::Error) -> EngineError {
    EngineError::ToolBroken { tool: "the client tools' private directory".to_owned(), source }
}

fn ssl_mode(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Require => "require",
        TlsMode::VerifyCA => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    }
}

/// libpq before 16 cannot be told "the system's store", so it is named.
fn system_roots() -> PathBuf {
    std::env::var_os("SSL_CERT_FILE").map_or_else(|| "/etc/ssl/certs/ca-certificates.crt".into(), PathBuf::from)
}

fn pgpass(password: &str) -> String {
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

fn private_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// A started tool. Dropped, it is killed.
pub struct Running {
    tool: String,
    child: Child,
    stderr: JoinHandle<String>,
}

impl Running {
    /// Starts `command`, which [`Tools::command`] built.
    pub fn start(tool: &str, command: &mut Command) -> Result<Self, EngineError> {
        let mut child = command.spawn().map_err(|source| EngineError::ToolBroken { tool: tool.to_owned(), source })?;
        let stderr = child.stderr.take();
        Ok(Self {
            tool: tool.to_owned(),
            child,
            stderr: tokio::spawn(async move {
                match stderr {
                    Some(pipe) => head_and_tail(pipe).await,
                    None => String::new(),
                }
            }),
        })
    }

    /// Its standard output, once, if the command pipes it.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the end. The exit status decides; on success the end of stderr is given back, for its warnings.
    pub async fn wait(mut self) -> Result<String, EngineError> {
        let status =
            self.child.wait().await.map_err(|source| EngineError::ToolBroken { tool: self.tool.clone(), source })?;
        let stderr = plain_text::of_tool(&(&mut self.stderr).await.unwrap_or_default());
        if status.success() {
            return Ok(stderr);
        }
        Err(EngineError::ToolFailed { tool: self.tool, status: status.to_string(), stderr: stderr.trim().to_owned() })
    }
}

/// The beginning and the end of a tool's stderr.
async fn head_and_tail(mut pipe: impl AsyncRead + Unpin) -> String {
    let (mut head, mut tail, mut cut) = (Vec::new(), Vec::new(), false);
    let mut buffer = [0_u8; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let room = (STDERR_KEPT - head.len()).min(read);
        head.extend_from_slice(&buffer[..room]);
        tail.extend_from_slice(&buffer[room..read]);
        let surplus = tail.len().saturating_sub(STDERR_KEPT);
        tail.drain(..surplus);
        cut |= surplus > 0;
    }
    let (head, tail) = (String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail));
    format!("{head}{}{tail}", if cut { " […] " } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(majors: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for major in majors {
            let bin = root.path().join(major).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            std::fs::write(bin.join("pg_dump"), "").unwrap();
        }
        root
    }

    #[test]
    fn the_lowest_major_that_is_not_older_than_the_server_is_taken() {
        let root = root(&["13", "15", "17", "common"]);
        let major = |server| Tools::find_in(root.path(), server).map(|t| t.major()).ok();
        assert_eq!([major(13), major(14), major(16)], [Some(13), Some(15), Some(17)]);
        let refused = Tools::find_in(root.path(), 18).unwrap_err();
        assert_eq!(refused.reason(), "ToolMissing");
        assert!(refused.to_string().contains("[13, 15, 17]"), "{refused}");
    }

    #[tokio::test]
    async fn of_a_long_complaint_both_ends_are_kept() {
        let words = format!("begin{}end", "x".repeat(100_000));
        let kept = head_and_tail(words.as_bytes()).await;
        assert!(kept.starts_with("begin") && kept.contains("[…]") && kept.ends_with("end"), "{kept}");
        assert_eq!(kept.len(), 2 * STDERR_KEPT + " […] ".len());
        assert_eq!(head_and_tail(&b"short"[..]).await, "short");
    }

    #[test]
    fn tools_with_known_holes_are_told_from_mended_ones() {
        let needed = |number: &str| vulnerable(&format!("pg_restore (PostgreSQL) {number} (Debian {number}-1)"));
        assert_eq!(needed("15.14").as_deref(), Some("15.15"));
        assert_eq!(needed("18.0").as_deref(), Some("18.1"));
        for fine in ["15.15", "15.18", "17.12", "18.6", "19.0", "13.23"] {
            assert_eq!(needed(fine), None, "{fine}");
        }
        assert_eq!(vulnerable("pg_dump of somebody's own"), None);
    }

    #[test]
    fn a_password_cannot_leave_its_field() {
        assert_eq!(pgpass("a:b\\c"), "*:*:*:*:a\\:b\\\\c\n");
    }
}
