//! Which objects of a bucket are Sennight's, judged by their keys alone. The operator deletes and aborts only these: a bucket
//! may have foreign folders with the names of our areas.

use super::AREAS;
use crate::manifest::MANIFEST;
use crate::names::{Area, BackupId, Keys, segment};

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// Ours: nobody else gives such names.
    Ours,
    /// The key has our form, and others might choose one like it: the object itself has to be checked.
    Perhaps,
    /// Somebody else's.
    Foreign,
}

/// Whose object a key in an area names.
pub fn owned(keys: &Keys, area: Area, key: &str) -> Owned {
    let Some(below) = key.strip_prefix(&keys.area(area)) else { return Owned::Foreign };
    let parts: Vec<&str> = below.split('/').collect();
    let uid = match (area, &parts[..]) {
        (Area::Daily | Area::Held | Area::Safety, [namespace, schedule, id, object @ ..]) => {
            let place = legal(namespace) && legal(schedule) && id.parse::<BackupId>().is_ok();
            // A backup's id has a time and eight hex digits behind two names: nobody else has such keys by chance.
            return if place && is_part_of_backup(&object.join("/")) { Owned::Ours } else { Owned::Foreign };
        }
        (Area::Exports, [namespace, uid, file]) if legal(namespace) && is_export(file) => uid,
        (Area::Results | Area::Progress, [uid, file]) if stem(file, ".json").is_some_and(legal) => uid,
        // A swap's journal lies beside its claim.
        (Area::Claims, [file]) => file.strip_suffix(".journal").unwrap_or(file),
        (Area::Audit, [uid, file]) if stem(file, ".json").is_some_and(is_number) => uid,
        _ => return Owned::Foreign,
    };
    match uid {
        // UIDs are random: nobody else names files after one by chance.
        uid if is_uid(uid) => Owned::Ours,
        uid if legal(uid) => Owned::Perhaps,
        _ => Owned::Foreign,
    }
}

/// Whether an unfinished upload is ours. Only its key can tell: the object does not exist yet and has no tags.
pub fn owned_upload(keys: &Keys, key: &str) -> bool {
    // Everything below a prefix that is not empty is Sennight's; the lifecycle rule for uploads assumes the same.
    !keys.root().is_empty() && key.starts_with(keys.root())
        || AREAS.iter().any(|area| owned(keys, *area, key) == Owned::Ours)
}

/// Whether a key below a backup's directory has the form of one of its objects.
pub fn is_part_of_backup(below: &str) -> bool {
    match below.split_once('/') {
        None => below == MANIFEST || below.strip_prefix("schema.").is_some_and(legal),
        Some(("data", file)) => stem(file, ".zst").is_some_and(legal),
        Some(_) => false,
    }
}

/// Whether this is the name of a probe's directory below `<prefix>/probe/`: 32 random hex digits.
pub fn is_probe(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(is_hex)
}

fn is_export(file: &str) -> bool {
    let list = stem(file, ".zst").and_then(|stem| stem.strip_prefix("live-ids-"));
    stem(file, ".zip").or(list).is_some_and(legal)
}

fn stem<'a>(file: &'a str, extension: &str) -> Option<&'a str> {
    file.strip_suffix(extension)
}

fn legal(text: &str) -> bool {
    segment("segment", text).is_ok()
}

fn is_number(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A UID of Kubernetes, or the `shell-<8 hex>` that replaces a Job's UID when a person runs a task.
fn is_uid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let hex = |text: &str| text.bytes().all(|b| b == b'-' || is_hex(b));
    lengths && hex(text) || text.strip_prefix("shell-").is_some_and(|run| run.len() == 8 && hex(run))
}

fn is_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::live_ids;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn every_key_that_sennight_builds_is_known_as_its_own() {
        for prefix in ["", "p/q"] {
            let keys = Keys::new(prefix);
            let export = keys.export("tenants", UID).unwrap();
            let mut all = vec![
                (Area::Results, keys.result(UID, "acme-corp").unwrap()),
                (Area::Results, keys.result("shell-0000abcd", "acme.corp").unwrap()),
                (Area::Progress, keys.progress(UID, "acme").unwrap()),
                (Area::Claims, keys.claim(UID).unwrap()),
                (Area::Claims, keys.journal(UID).unwrap()),
                (Area::Audit, keys.audit_entry(UID, 12).unwrap()),
                (Area::Exports, format!("{export}tenant-acme_2026-11-20_ticket-4711.zip")),
                (Area::Exports, live_ids(&export, UID).unwrap()),
            ];
            let id = "20261122T021000Z-0000000a".parse().unwrap();
            for area in [Area::Daily, Area::Held, Area::Safety] {
                let backup = keys.backup(area, "tenants", "acme", &id).unwrap();
                let names =
                    ["manifest.json", "schema.pgdump", "schema.sql", "data/pack-0001.zst", "data/table-0012.zst"];
                all.extend(names.map(|name| (area, format!("{backup}{name}"))));
            }
            for (area, key) in all {
                assert_eq!(owned(&keys, area, &key), Owned::Ours, "{key}");
                assert!(owned_upload(&keys, &key), "{key}");
            }
        }
    }

    #[test]
    fn what_others_keep_in_folders_of_our_names_is_not_ours() {
        let keys = Keys::new("");
        let backup = "tenants/acme/20261122T021000Z-0000000a";
        let foreign = [
            (Area::Exports, "exports/q3-report.csv".to_owned()),
            (Area::Exports, format!("exports/tenants/{UID}/notes.txt")),
            (Area::Results, "results/lab.csv".to_owned()),
            (Area::Results, format!("results/{UID}/acme.csv")),
            (Area::Results, format!("results/{UID}/deep/acme.json")),
            (Area::Progress, "progress/2026.xlsx".to_owned()),
            (Area::Claims, "claims/2026/damage".to_owned()),
            (Area::Claims, "claims/damage report".to_owned()),
            (Area::Audit, "audit/2024-invoices.pdf".to_owned()),
            (Area::Audit, format!("audit/{UID}/12.json")),
            (Area::Safety, "safety/instructions.pdf".to_owned()),
            (Area::Daily, "daily/notes.txt".to_owned()),
            (Area::Daily, format!("daily/{backup}/notes.txt")),
            (Area::Daily, format!("daily/{backup}/data/notes.txt")),
            (Area::Daily, format!("daily/{backup}/data/deep/pack-0001.zst")),
            (Area::Daily, "daily/tenants/acme/20261122/manifest.json".to_owned()),
            (Area::Held, "held/mail".to_owned()),
        ];
        for (area, key) in foreign {
            assert_eq!(owned(&keys, area, &key), Owned::Foreign, "{key}");
            assert!(!owned_upload(&keys, &key), "{key}");
        }
        for (area, key) in [
            (Area::Results, "results/2024/summary.json"),
            (Area::Claims, "claims/damage.pdf"),
            (Area::Audit, "audit/2024/000001.json"),
            (Area::Exports, "exports/team/2024/all.zip"),
        ] {
            assert_eq!(owned(&keys, area, key), Owned::Perhaps, "{key}");
            assert!(!owned_upload(&keys, key), "{key}");
            assert!(owned_upload(&Keys::new("p"), &format!("p/{key}")), "below a prefix all is ours");
        }
        assert!(is_probe("0123456789abcdef0123456789abcdef") && !is_probe("0123") && !is_probe("reports"));
    }
}
