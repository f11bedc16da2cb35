//! Reads the user name and password of a mounted Secret, for every engine.

use std::path::{Path, PathBuf};

/// User name and password. No `Debug`: they never reach a log.
pub struct Credentials {
    /// Name of the role or account.
    pub username: String,
    /// Password of the role or account.
    pub password: String,
}

/// A file of the Secret that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Path of the file.
    pub path: PathBuf,
    /// What the file system says.
    pub source: std::io::Error,
}

impl Credentials {
    /// Reads the files `username` and `password`. One line end after a value is not part of it.
    pub fn read(dir: &str) -> Result<Self, Unreadable> {
        let file = |name: &str| {
            let path = Path::new(dir).join(name);
            std::fs::read_to_string(&path)
                .map(|text| {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    text.strip_suffix('\r').unwrap_or(text).to_owned()
                })
                .map_err(|source| Unreadable { path, source })
        };
        Ok(Self { username: file("username")?, password: file("password")? })
    }
}
