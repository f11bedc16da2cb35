//! Restore hooks: the platform team's SQL, as files `*.sql` of a mounted ConfigMap or Secret.

use super::TaskError;
use sennight_engine::restore::Hook;
use sennight_protocol::restore::RestoreTask;
use std::path::Path;

/// The task's hooks, in the order of their names. The preflight reads them too, so that what is wrong with them is known
/// before anybody pays.
pub fn of(task: &RestoreTask) -> Result<Vec<Hook>, TaskError> {
    task.hooks_dir.as_ref().map_or_else(|| Ok(Vec::new()), |dir| read(Path::new(dir)))
}

/// The hooks of a directory. None at all is an error: without them a restore would bring back what they are to remove.
fn read(dir: &Path) -> Result<Vec<Hook>, TaskError> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{} cannot be read ({error}): check restoreHooks of the DatabaseServer", dir.display());
        TaskError::refused("HooksUnreadable", message)
    };
    let mut hooks = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(unreadable)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    for entry in entries {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "sql") {
            let name = entry.file_name().to_string_lossy().into_owned();
            hooks.push(Hook { name, sql: std::fs::read_to_string(&path).map_err(unreadable)? });
        }
    }
    if hooks.is_empty() {
        let message = "the DatabaseServer names restoreHooks and there is not one key that ends in .sql: create the ConfigMap or Secret, or remove restoreHooks";
        return Err(TaskError::refused("HooksMissing", message));
    }
    hooks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_run_in_the_order_of_their_names_and_none_at_all_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap_err().reason, "HooksMissing");
        for (name, sql) in [("20-mail.sql", "b"), ("10-erased.sql", "a"), ("README", "c")] {
            std::fs::write(dir.path().join(name), sql).unwrap();
        }
        let names: Vec<String> = read(dir.path()).unwrap().into_iter().map(|h| h.name).collect();
        assert_eq!(names, ["10-erased.sql", "20-mail.sql"]);
        assert_eq!(read(&dir.path().join("nowhere")).unwrap_err().reason, "HooksMissing");
    }
}
