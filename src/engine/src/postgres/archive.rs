//! The schema archive: lists its contents, and restores some of its entries into a database by `pg_restore`.

use super::connect::Session;
use super::contents::entries;
use super::error::EngineError;
use super::post_data::{self, Parts};
use super::restore_plan::{Run, Runner};
use super::script::{Needs, Script};
use super::tools::{Access, Running, Tools};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// The three sections of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Sequences' states, large objects, extensions' configuration. The tables' rows are not in the archive.
    Data,
    /// Indexes, constraints, triggers, policies, materialised views, default privileges.
    PostData,
}

impl Section {
    fn argument(self) -> &'static str {
        match self {
            Self::Data => "--section=data",
            Self::PostData => "--section=post-data",
        }
    }
}

/// A schema archive in a file, and the tools that read it.
pub struct Archive<'a> {
    /// The client tools to run.
    pub tools: &'a Tools,
    /// A private directory; the tools reach no server by it.
    pub access: &'a Access,
    /// The archive's file.
    pub file: &'a Path,
    /// Whether to set owners and grants. Otherwise everything belongs to the loading role.
    pub owners: bool,
}

/// How the tools reach the new database, in whose name.
#[derive(Clone, Copy)]
pub struct Doors<'a> {
    /// As the loading role.
    pub loader: &'a Access,
    /// As the restore role.
    pub restore_role: &'a Access,
}

impl Archive<'_> {
    /// Restores the runs one after the other. The first error ends it.
    pub async fn run_all(&self, doors: Doors<'_>, doing: &str, runs: &[Run]) -> Result<(), EngineError> {
        for run in runs {
            let access = if run.runner == Runner::RestoreRole { doors.restore_role } else { doors.loader };
            let mut command = self.command(access);
            command.arg("--use-list").arg(self.list("some.list", &run.list).await?);
            match &run.runner {
                Runner::StandIn(role) => {
                    command.arg(format!("--role={role}")).arg("--no-owner");
                }
                Runner::Loader | Runner::RestoreRole if self.owners => {}
                Runner::Loader | Runner::RestoreRole => {
                    command.args(["--no-owner", "--no-privileges", "--no-tablespaces"]);
                }
            }
            command.arg(self.file);
            self.run(doing, &mut command).await?;
        }
        Ok(())
    }

    /// Restores entries of [`Section::PostData`] as the loading role. Up to `jobs` connections build what can be built in
    /// parallel.
    pub async fn build(
        &self,
        doors: Doors<'_>,
        session: &Session,
        entries: &str,
        jobs: i32,
    ) -> Result<(), EngineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let jobs = format!("--jobs={}", jobs.max(1));
        let relatives = post_data::relatives(session).await?;
        let parts = if relatives.is_empty() {
            None
        } else {
            post_data::divide(&self.listed(&["--verbose"]).await?, entries, &relatives)
        };
        let whole = Parts { rest: entries.to_owned(), ..Parts::default() };
        let Parts { parents, together, in_order, rest } = parts.unwrap_or(whole);
        for (entries, jobs) in [(parents, None), (together, Some(&jobs)), (in_order, None), (rest, Some(&jobs))] {
            if entries.is_empty() {
                continue;
            }
            let mut command = self.command(doors.loader);
            if !self.owners {
                command.args(["--no-owner", "--no-privileges", "--no-tablespaces"]);
            }
            command.arg("--use-list").arg(self.list("built.list", &entries).await?).args(jobs).arg(self.file);
            self.run("pg_restore of indexes and constraints", &mut command).await?;
        }
        Ok(())
    }

    fn command(&self, access: &Access) -> tokio::process::Command {
        let mut command = self.tools.command("pg_restore", access);
        command.args(["--exit-on-error", "--no-password", "--dbname="]);
        command
    }

    async fn list(&self, name: &str, entries: &str) -> Result<PathBuf, EngineError> {
        let file = self.access.dir().join(name);
        tokio::fs::write(&file, entries)
            .await
            .map_err(|source| EngineError::ToolBroken { tool: name.to_owned(), source })?;
        Ok(file)
    }

    /// The table of contents of one section.
    pub async fn section(&self, section: Section) -> Result<String, EngineError> {
        self.listed(&[section.argument()]).await
    }

    /// The SQL of all grants.
    pub async fn grants(&self, contents: &str) -> Result<String, EngineError> {
        let of_grants = entries(contents).filter(|entry| entry.text.starts_with("ACL "));
        let list: String = of_grants.flat_map(|entry| [entry.line, "\n"]).collect();
        if list.is_empty() {
            return Ok(String::new());
        }
        let mut command = self.tools.command("pg_restore", self.access);
        command.arg("--use-list").arg(self.list("grants.list", &list).await?).arg("--file=-").arg(self.file);
        // Comments of pg_restore name objects: they are no SQL.
        let text = read_all("pg_restore of the grants as SQL", &mut command).await?;
        Ok(text.lines().filter(|line| !line.starts_with("--")).flat_map(|line| [line, "\n"]).collect())
    }

    /// Needs that only the SQL shows, which `pg_restore` would send.
    pub async fn needs(&self) -> Result<Needs, EngineError> {
        let mut command = self.tools.command("pg_restore", self.access);
        command.args(["--schema-only", "--file=-"]).arg(self.file).stdout(Stdio::piped());
        let mut running = Running::start("pg_restore of the schema as SQL", &mut command)?;
        let mut script = Script::default();
        if let Some(stdout) = running.stdout() {
            let (mut reader, mut line) = (BufReader::new(stdout), Vec::new());
            let broken =
                |source| EngineError::ToolBroken { tool: "pg_restore of the schema as SQL".to_owned(), source };
            while reader.read_until(b'\n', &mut line).await.map_err(broken)? > 0 {
                script.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
                line.clear();
            }
        }
        running.wait().await?;
        Ok(script.needs)
    }

    /// The archive's table of contents, as `pg_restore --list` prints it.
    pub async fn contents(&self) -> Result<String, EngineError> {
        self.listed(&[]).await
    }

    async fn listed(&self, arguments: &[&str]) -> Result<String, EngineError> {
        let mut command = self.tools.command("pg_restore", self.access);
        command.arg("--list").args(arguments).arg(self.file);
        read_all("pg_restore --list", &mut command).await
    }

    async fn run(&self, doing: &str, command: &mut tokio::process::Command) -> Result<(), EngineError> {
        let warnings = Running::start(doing, command)?.wait().await.map_err(deadlocked)?;
        if !warnings.trim().is_empty() {
            tracing::warn!(warnings = warnings.trim(), "{doing}");
        }
        Ok(())
    }
}

/// What a tool prints.
async fn read_all(doing: &str, command: &mut tokio::process::Command) -> Result<String, EngineError> {
    let mut running = Running::start(doing, command.stdout(Stdio::piped()))?;
    let mut text = Vec::new();
    if let Some(mut stdout) = running.stdout() {
        let broken = |source| EngineError::ToolBroken { tool: doing.to_owned(), source };
        stdout.read_to_end(&mut text).await.map_err(broken)?;
    }
    running.wait().await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A deadlock is no fault of the backup: another attempt may succeed.
fn deadlocked(error: EngineError) -> EngineError {
    match error {
        EngineError::ToolFailed { tool, stderr: why, .. } if why.contains("deadlock detected") => {
            EngineError::LockTimeout { doing: format!("{tool} was running"), why }
        }
        other => other,
    }
}
