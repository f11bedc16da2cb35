//! The repository that is tested, and its binaries, which cargo does not build for another package's tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The text of a file of the repository, by its path from the root.
pub fn file(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The path of a binary of the product, of the profile that this test was built with. Panics where it is missing or older
/// than one of its sources.
pub fn binary(name: &str) -> PathBuf {
    // Looked at once in a process: a source that is edited while tests run fails none of them.
    static FOUND: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.entry(name.to_owned()).or_insert_with(|| find(name).unwrap_or_else(|fault| panic!("{fault}"))).clone()
}

fn find(name: &str) -> Result<PathBuf, String> {
    // target/<profile>/deps/<this test>
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join(name);
    check(&binary).map(|()| binary)
}

/// Whether a binary is there, and no older than what cargo's dep-info beside it names.
fn check(binary: &Path) -> Result<(), String> {
    let shown = binary.display();
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let Ok(built) = changed(binary) else {
        return Err(format!("{shown} is missing: run `make build`"));
    };
    let Ok(dep_info) = std::fs::read_to_string(binary.with_extension("d")) else {
        return Err(format!("{shown} has no list of its sources beside it: run `make build`"));
    };
    for source in sources(&dep_info) {
        match changed(Path::new(&source)) {
            Ok(changed) if changed <= built => {}
            Ok(_) => return Err(format!("{shown} is stale: run `make build` ({source} is newer)")),
            Err(_) => return Err(format!("{shown} is stale: run `make build` ({source} is gone)")),
        }
    }
    Ok(())
}

/// The sources in cargo's dep-info, which is one rule of a makefile: `target: source source`, a space in a name is `\ `.
fn sources(dep_info: &str) -> Vec<String> {
    let (_, list) = dep_info.split_once(": ").unwrap_or_default();
    let joined = list.trim_end().replace("\\ ", "\0");
    joined.split(' ').filter(|name| !name.is_empty()).map(|name| name.replace('\0', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, sources};
    use std::fs::{File, write};
    use std::time::{Duration, SystemTime};

    #[test]
    fn sources_are_read_from_cargos_dep_info() {
        assert_eq!(sources("/t/debug/a: /s/a.rs /s/with\\ space.rs\n"), ["/s/a.rs", "/s/with space.rs"]);
        assert!(sources("").is_empty());
    }

    #[test]
    fn a_binary_that_is_missing_or_older_than_a_source_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [binary, list, source] = ["b", "b.d", "s.rs"].map(|name| dir.path().join(name));
        let refused = |word: &str| check(&binary).unwrap_err().contains(word);
        assert!(refused("is missing: run `make build`"));
        write(&binary, "").unwrap();
        assert!(refused("no list of its sources"));
        write(&list, format!("{}: {}\n", binary.display(), source.display())).unwrap();
        assert!(refused("is gone"));
        let source = File::create(source).unwrap();
        source.set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
        check(&binary).unwrap();
        source.set_modified(SystemTime::now() + Duration::from_mins(1)).unwrap();
        assert!(refused("is stale: run `make build`"));
    }
}
