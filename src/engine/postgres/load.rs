//! The way into a database: the schema archive's sections by `pg_restore`, rows by COPY.

use super::connect::Session;
use super::error::EngineError;
use super::tools::{Access, Running, Tools};
use super::{ident, literal, qualified};
use crate::domain::manifest::Table;
use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt, pin_mut};
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncReadExt;

/// The parts of a schema archive, in the order in which they are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Types, functions, tables without indexes. Grants wait: an owner who revoked their own INSERT could not be loaded.
    PreData,
    /// Sequences' states, large objects, extensions' configuration. The tables' rows are not in the archive.
    Data,
    /// Indexes, constraints, triggers, policies, materialised views, default privileges.
    PostData,
}

impl Section {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::PreData => &["--section=pre-data", "--no-privileges"],
            Self::Data => &["--section=data", "--no-privileges"],
            Self::PostData => &["--section=post-data"],
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Self::PreData => "pg_restore of the schema",
            Self::Data => "pg_restore of sequences and large objects",
            Self::PostData => "pg_restore of indexes and constraints",
        }
    }
}

/// A schema archive in a file, and the tools and database that it goes to.
pub struct Archive<'a> {
    /// The client tools.
    pub tools: &'a Tools,
    /// The new database.
    pub access: &'a Access,
    /// The file.
    pub file: &'a Path,
}

impl Archive<'_> {
    /// Loads one section. The first error ends it: a restore with gaps is none.
    pub async fn load(&self, section: Section, jobs: i32) -> Result<(), EngineError> {
        let mut command = self.tools.command("pg_restore", self.access);
        command.args(["--exit-on-error", "--dbname="]).args(section.arguments());
        if section == Section::PostData {
            command.arg(format!("--jobs={}", jobs.max(1)));
        }
        command.arg(self.file);
        self.run(section.doing(), &mut command).await
    }

    /// Loads the grants that [`Section::PreData`] and [`Section::Data`] left out: after the rows, before materialised
    /// views are filled by owners who need them.
    pub async fn load_grants(&self) -> Result<(), EngineError> {
        let list = grants(&self.contents().await?);
        if list.is_empty() {
            return Ok(());
        }
        let file = self.access.dir().join("grants.list");
        tokio::fs::write(&file, list)
            .await
            .map_err(|source| EngineError::ToolBroken { tool: "the list of grants".to_owned(), source })?;
        let mut command = self.tools.command("pg_restore", self.access);
        command.args(["--exit-on-error", "--dbname=", "--use-list"]).arg(&file).arg(self.file);
        self.run("pg_restore of the grants", &mut command).await
    }

    /// The archive's table of contents, as `pg_restore --list` prints it.
    pub async fn contents(&self) -> Result<String, EngineError> {
        let mut command = self.tools.command("pg_restore", self.access);
        command.arg("--list").arg(self.file).stdout(Stdio::piped());
        let mut running = Running::start("pg_restore --list", &mut command)?;
        let mut text = Vec::new();
        if let Some(mut stdout) = running.stdout() {
            stdout
                .read_to_end(&mut text)
                .await
                .map_err(|source| EngineError::ToolBroken { tool: "pg_restore --list".to_owned(), source })?;
        }
        running.wait().await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn run(&self, doing: &str, command: &mut tokio::process::Command) -> Result<(), EngineError> {
        let warnings = Running::start(doing, command)?.wait().await?;
        if !warnings.trim().is_empty() {
            tracing::warn!(warnings = warnings.trim(), "{doing}");
        }
        Ok(())
    }
}

/// One entry of a table of contents: `217; 1259 16385 TABLE public contacts acme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What kind of object and which: `TABLE public contacts acme`. Kinds may be of several words, names too.
    pub text: &'a str,
    line: &'a str,
}

/// The entries of a table of contents; its comments are left out.
pub fn entries(contents: &str) -> impl Iterator<Item = Entry<'_>> {
    contents.lines().filter_map(|line| {
        let (number, rest) = line.split_once("; ")?;
        number.parse::<u32>().ok()?;
        let text = rest.splitn(3, ' ').nth(2)?;
        Some(Entry { text, line })
    })
}

fn grants(contents: &str) -> String {
    entries(contents).filter(|entry| entry.text.starts_with("ACL ")).flat_map(|entry| [entry.line, "\n"]).collect()
}

/// Why a table's rows did not go in: the source of the rows, or the server.
#[derive(Debug, thiserror::Error)]
pub enum CopyError<E: std::error::Error + 'static> {
    /// The rows could not be had.
    #[error(transparent)]
    Source(E),
    /// The server did not take them.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// `COPY … FROM STDIN` for the manifest's columns in their order.
fn copy_statement(table: &Table, encoding: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| ident(&c.name)).collect();
    // A table without columns has rows all the same; COPY takes no empty list.
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    format!(
        "COPY {}{columns} FROM STDIN (FORMAT text, ENCODING {})",
        qualified(&table.schema, &table.name),
        literal(encoding)
    )
}

/// Sends rows into a table and returns how many the server took. If the rows end in an error, none of them stays.
pub async fn copy<E: std::error::Error + 'static>(
    session: &Session,
    table: &Table,
    encoding: &str,
    rows: impl Stream<Item = Result<Bytes, E>>,
) -> Result<i64, CopyError<E>> {
    let failed = |e| EngineError::query(format!("loading {}.{}", table.schema, table.name), e);
    let sink = session.copy_in(&copy_statement(table, encoding)).await.map_err(failed)?;
    pin_mut!(sink, rows);
    while let Some(some) = rows.next().await {
        // Dropping the sink in an error makes the server forget what it got.
        feed(&mut sink, some.map_err(CopyError::Source)?).await.map_err(failed)?;
    }
    let taken = sink.finish().await.map_err(failed)?;
    Ok(i64::try_from(taken).unwrap_or(i64::MAX))
}

/// In pieces: the protocol's buffer holds a whole message, and a frame may be 64 MiB.
async fn feed<S>(sink: &mut S, mut rows: Bytes) -> Result<(), S::Error>
where
    S: Sink<Bytes> + Unpin,
{
    while !rows.is_empty() {
        let piece = rows.split_to(rows.len().min(256 << 10));
        sink.send(piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Column;

    const CONTENTS: &str = ";
; Archive created at 2026-11-22 02:10:00 UTC
;     dbname: acme
;
217; 1259 16385 TABLE public contacts acme
3391; 0 0 ACL public TABLE contacts acme
3392; 0 0 ACL public COLUMN contacts.name acme
2071; 826 16390 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES acme
3390; 0 0 COMMENT - EXTENSION \"ACL x\" 
";

    #[test]
    fn grants_are_picked_and_default_privileges_are_not() {
        assert_eq!(
            grants(CONTENTS),
            "3391; 0 0 ACL public TABLE contacts acme\n3392; 0 0 ACL public COLUMN contacts.name acme\n"
        );
        assert_eq!(entries(CONTENTS).count(), 5);
        assert_eq!(grants("; nothing\n"), "");
    }

    #[test]
    fn copy_names_the_columns_in_the_order_of_the_rows() {
        let mut table = Table {
            schema: "s".to_owned(),
            name: "odd\"t".to_owned(),
            columns: vec![
                Column { name: "B".to_owned(), kind: "text".to_owned() },
                Column { name: "a".to_owned(), kind: "text".to_owned() },
            ],
            rows: 0,
            frames: Vec::new(),
        };
        assert_eq!(
            copy_statement(&table, "UTF8"),
            "COPY \"s\".\"odd\"\"t\" (\"B\", \"a\") FROM STDIN (FORMAT text, ENCODING 'UTF8')"
        );
        table.columns.clear();
        assert_eq!(
            copy_statement(&table, "LATIN1"),
            "COPY \"s\".\"odd\"\"t\" FROM STDIN (FORMAT text, ENCODING 'LATIN1')"
        );
    }
}
