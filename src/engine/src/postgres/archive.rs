//! The schema archive: lists its contents, and loads its sections into a database by `pg_restore`.

use super::connect::Session;
use super::error::EngineError;
use super::post_data::{self, Parts};
use super::script::{Needs, Script};
use super::tools::{Access, Running, Tools};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Memory in KiB for each connection that builds indexes, if the server gives less: twice the default saves most indexes
/// from a sort on disk, and does not burden a shared server.
const SORT_KIB: i64 = 128 << 10;

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
    /// The client tools to run.
    pub tools: &'a Tools,
    /// How the tools connect to the new database.
    pub access: &'a Access,
    /// The archive's file.
    pub file: &'a Path,
    /// Whether to set owners and grants. Otherwise everything belongs to the loading role.
    pub owners: bool,
}

impl Archive<'_> {
    /// Loads [`Section::PreData`]. A loading role that is no superuser can give an object to a role only if that may
    /// create in the object's schema: grants on schemas of several owners then come first. `roles` are all that the backup names.
    pub async fn load_definitions(&self, superuser: bool, roles: &[String]) -> Result<(), EngineError> {
        let section = Section::PreData;
        let contents = if !superuser && self.owners { self.contents().await? } else { String::new() };
        let Some((first, rest)) = schemas_first(&contents, roles) else { return self.load(section).await };
        let (first, rest) = (self.list("schemas.list", first).await?, self.list("rest.list", rest).await?);
        let mut command = self.tools.command("pg_restore", self.access);
        command.args(["--exit-on-error", "--dbname=", "--use-list"]).arg(first).arg(self.file);
        self.run("pg_restore of schemas and their grants", &mut command).await?;
        let mut command = self.command(section);
        command.arg("--use-list").arg(rest).arg(self.file);
        self.run(section.doing(), &mut command).await
    }

    async fn list(&self, name: &str, entries: String) -> Result<PathBuf, EngineError> {
        let file = self.access.dir().join(name);
        tokio::fs::write(&file, entries)
            .await
            .map_err(|source| EngineError::ToolBroken { tool: name.to_owned(), source })?;
        Ok(file)
    }

    /// Loads one section. The first error ends it.
    pub async fn load(&self, section: Section) -> Result<(), EngineError> {
        let mut command = self.command(section);
        command.arg(self.file);
        self.run(section.doing(), &mut command).await
    }

    /// Loads [`Section::PostData`], with memory to sort. Up to `jobs` connections build what can be built in parallel.
    pub async fn build(&self, session: &Session, jobs: i32) -> Result<(), EngineError> {
        let jobs = format!("--jobs={}", jobs.max(1));
        let relatives = post_data::relatives(session).await?;
        let parts = if relatives.is_empty() {
            None
        } else {
            let section = self.listed(Section::PostData.arguments()).await?;
            post_data::divide(&self.listed(&["--verbose"]).await?, &section, &relatives)
        };
        let Some(Parts { parents, together, in_order, rest }) = parts else {
            return self.build_list(session, None, Some(&jobs)).await;
        };
        for (name, entries, jobs) in [
            ("parents.list", parents, None),
            ("together.list", together, Some(&jobs)),
            ("in-order.list", in_order, None),
            ("rest.list", rest, Some(&jobs)),
        ] {
            if !entries.is_empty() {
                let list = self.list(name, entries).await?;
                self.build_list(session, Some(&list), jobs.map(String::as_str)).await?;
            }
        }
        Ok(())
    }

    async fn build_list(&self, session: &Session, list: Option<&Path>, jobs: Option<&str>) -> Result<(), EngineError> {
        let section = Section::PostData;
        let sort = format!("{SORT_KIB}kB");
        let settings: &[(&str, &str)] =
            if sorts_in(session).await? < SORT_KIB { &[("maintenance_work_mem", &sort)] } else { &[] };
        let mut command = self.command_with(section, settings);
        if let Some(list) = list {
            command.arg("--use-list").arg(list);
        }
        command.args(jobs).arg(self.file);
        self.run(section.doing(), &mut command).await
    }

    fn command(&self, section: Section) -> tokio::process::Command {
        self.command_with(section, &[])
    }

    fn command_with(&self, section: Section, settings: &[(&str, &str)]) -> tokio::process::Command {
        let mut command = self.tools.command_with("pg_restore", self.access, settings);
        command.args(["--exit-on-error", "--dbname="]).args(section.arguments());
        if !self.owners {
            // A scratch server need not have the tenants' tablespaces either.
            command.args(["--no-owner", "--no-privileges", "--no-tablespaces"]);
        }
        command
    }

    /// Loads the grants that [`Section::PreData`] and [`Section::Data`] left out: after the rows, before materialised
    /// views are filled by owners who need them.
    pub async fn load_grants(&self) -> Result<(), EngineError> {
        let list = grants(&self.contents().await?);
        if list.is_empty() || !self.owners {
            return Ok(());
        }
        let file = self.list("grants.list", list).await?;
        let mut command = self.tools.command("pg_restore", self.access);
        command.args(["--exit-on-error", "--dbname=", "--use-list"]).arg(file).arg(self.file);
        self.run("pg_restore of the grants", &mut command).await
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
        command.arg("--list").args(arguments).arg(self.file).stdout(Stdio::piped());
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
        let warnings = Running::start(doing, command)?.wait().await.map_err(deadlocked)?;
        if !warnings.trim().is_empty() {
            tracing::warn!(warnings = warnings.trim(), "{doing}");
        }
        Ok(())
    }
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

/// The server's `maintenance_work_mem`, in KiB.
async fn sorts_in(session: &Session) -> Result<i64, EngineError> {
    const ASK: &str = "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'";
    let row =
        session.query_one(ASK, &[]).await.map_err(|e| EngineError::query("asking how much memory sorts get", e))?;
    Ok(row.get(0))
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

/// Lists for two runs of `pg_restore`: the schemas with the grants that later entries need, and everything else. `None` if no
/// schema has objects of other owners than its own.
fn schemas_first(contents: &str, roles: &[String]) -> Option<(String, String)> {
    let owner = |text: &str| {
        let of = |role: &&String| text.strip_suffix(role.as_str()).is_some_and(|rest| rest.ends_with(' '));
        roles.iter().filter(of).max_by_key(|role| role.len()).map(String::as_str)
    };
    // `public` is in every database: it has an entry of its own only where somebody changed it.
    let mut schemas = BTreeMap::from([("public", None)]);
    for entry in entries(contents) {
        if let (Some(rest), Some(owner)) = (entry.text.strip_prefix("SCHEMA - "), owner(entry.text)) {
            schemas.insert(rest.strip_suffix(owner)?.trim_end(), Some(owner));
        }
    }
    let shared = |schema: &str, its: Option<&str>| {
        let inside = format!(" {schema} ");
        entries(contents).any(|e| {
            let kind = e.text.split(' ').next().unwrap_or_default();
            let other = owner(e.text).is_some_and(|owner| Some(owner) != its);
            other && !["ACL", "SCHEMA", "COMMENT"].contains(&kind) && e.text.contains(&inside)
        })
    };
    let shared: Vec<String> = schemas
        .iter()
        .filter(|(schema, its)| shared(schema, **its))
        .map(|(schema, _)| format!("ACL - SCHEMA {schema} "))
        .collect();
    let granted = |e: &Entry<'_>| shared.iter().any(|acl| e.text.starts_with(acl.as_str()));
    if !entries(contents).any(|e| granted(&e)) {
        return None;
    }
    let schema = |e: &Entry<'_>| e.text.starts_with("SCHEMA - ");
    let lines = |wanted: &dyn Fn(&Entry<'_>) -> bool| {
        entries(contents).filter(|e| wanted(e)).flat_map(|e| [e.line, "\n"]).collect::<String>()
    };
    Some((lines(&|e| schema(e)) + &lines(&granted), lines(&|e| !schema(e))))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn grants_on_a_schema_come_first_only_where_others_own_objects_in_it() {
        let roles = ["acme".to_owned(), "acme app".to_owned()];
        let entry = |n: i32, text: &str| format!("{n}; 0 0 {text}\n");
        let (schema, table) = (entry(6, "SCHEMA - crm acme"), entry(217, "TABLE crm contacts acme"));
        let (acl, view) = (entry(390, "ACL - SCHEMA crm acme"), entry(218, "VIEW crm mine acme app"));
        let alone = [schema.clone(), table.clone(), acl.clone()].concat();
        assert_eq!(schemas_first(&alone, &roles), None);
        let shared = [schema.clone(), table.clone(), view.clone(), acl.clone()].concat();
        let expected = ([schema.clone(), acl.clone()].concat(), [table.clone(), view, acl].concat());
        assert_eq!(schemas_first(&shared, &roles), Some(expected));
        // Without any grants on it they would not help.
        assert_eq!(schemas_first(&[schema, table, entry(218, "VIEW crm mine acme app")].concat(), &roles), None);
        let public = [entry(9, "TABLE public t acme app"), entry(10, "ACL - SCHEMA public pg_database_owner")];
        assert_eq!(schemas_first(&public.concat(), &roles).unwrap().0, public[1]);
    }
}
