//! Reads the user name and password of a mounted Secret, for every engine. The Secret says which host they are for: whoever may write a
//! DatabaseServer could otherwise have any Secret's password sent to a host of their own.

use sennight_protocol::target::DatabaseTarget;
use std::path::{Path, PathBuf};

/// User name and password. No `Debug`: they never reach a log.
pub struct Credentials {
    /// Name of the role or account.
    pub username: String,
    /// Password of the role or account.
    pub password: String,
}

/// Why the credentials are not used.
#[derive(Debug)]
pub enum CredentialsError {
    /// A file of the Secret cannot be read.
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The Secret is not for this host.
    NotForThisHost {
        /// Where the password would have gone, as `host:port`.
        server: String,
        /// The hosts that the Secret names; `None` where it names none.
        named: Option<String>,
    },
}

impl Credentials {
    /// Reads the files `username` and `password`, if the file `host` names the target's host. One line end after a value is not
    /// part of it.
    pub fn read(target: &DatabaseTarget) -> Result<Self, CredentialsError> {
        Self::of(Path::new(&target.credentials_dir), &target.host, target.port)
    }

    fn of(dir: &Path, host: &str, port: u16) -> Result<Self, CredentialsError> {
        let named = match file(dir, "host") {
            Ok(named) => Some(named),
            Err(CredentialsError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(other) => return Err(other),
        };
        // The files of a Secret that is not there: that is what is wrong, and not a host.
        let (username, password) = (file(dir, "username")?, file(dir, "password")?);
        // guard(a_secret_without_a_host_or_for_another_gives_no_password, never): a password goes to a host that its Secret names
        if !named.as_deref().is_some_and(|named| is_for(named, host, port)) {
            let server = format!("{host}:{port}");
            return Err(CredentialsError::NotForThisHost { server, named });
        }
        Ok(Self { username, password })
    }
}

fn file(dir: &Path, name: &str) -> Result<String, CredentialsError> {
    let path = dir.join(name);
    std::fs::read_to_string(&path)
        .map(|text| {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            text.strip_suffix('\r').unwrap_or(text).to_owned()
        })
        .map_err(|source| CredentialsError::Unreadable { path, source })
}

/// Whether a Secret's hosts have this one among them. They are parted by blanks or commas; each is a name or an address, alone or with
/// a port behind a colon.
fn is_for(named: &str, host: &str, port: u16) -> bool {
    let same = |name: &str| name.eq_ignore_ascii_case(host);
    named.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty()).any(|entry| {
        same(entry)
            || entry.rsplit_once(':').is_some_and(|(name, of)| {
                let name = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
                same(name) && of.parse() == Ok(port)
            })
    })
}

/// What is wrong, and the way out, for messages of both engines.
pub fn not_for_this_host(server: &str, named: Option<&str>) -> String {
    let of = named.map_or_else(|| "names no host".to_owned(), |named| format!("is for {named:?}"));
    format!(
        "the Secret with the credentials {of}, and its password would go to {server}: nothing was sent; if that is the right server, add it to the Secret's key \"host\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_the_hosts_that_it_names() {
        for named in ["db", "DB", "a, db", "a\ndb", "db:5432", "a:1 db:5432 db:7"] {
            assert!(is_for(named, "db", 5432), "{named}");
        }
        for named in ["", "  ", "dbx", "a.db", "db:5433", "db:", ":5432", "db:x"] {
            assert!(!is_for(named, "db", 5432), "{named}");
        }
        assert!(is_for("::1", "::1", 5432) && is_for("[::1]:5432", "::1", 5432) && !is_for("[::1]:5433", "::1", 5432));
    }

    #[test]
    fn a_secret_without_a_host_or_for_another_gives_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let read = || Credentials::of(dir.path(), "db", 5432);
        let unreadable = read().err().unwrap();
        assert!(matches!(unreadable, CredentialsError::Unreadable { .. }), "{unreadable:?}");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("username", "u\n");
        write("password", "p");
        let named = || match read() {
            Err(CredentialsError::NotForThisHost { named, .. }) => named,
            other => panic!("{:?}", other.err()),
        };
        assert_eq!(named(), None);
        write("host", "elsewhere\n");
        assert_eq!(named().as_deref(), Some("elsewhere"));
        write("host", "elsewhere db\n");
        let found = read().ok().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("u", "p"));
    }
}
