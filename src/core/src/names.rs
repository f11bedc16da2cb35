//! Backup ids, object keys in the bucket, and names of Jobs and databases. Every key or name that two processes must agree
//! on is built here and nowhere else.

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use strum::IntoEnumIterator;

/// The API group of all kinds, and the prefix of all labels and annotations.
pub const GROUP: &str = "sennight.dev";

/// The suffix of Jobs (and their pods) that act for a RestoreRequest. Admission reserves it for the operator
/// (docs/authority.md).
pub const RESTORE_SUFFIX: &str = "-sennight-restore";

/// Time format of backup ids: sortable, free of characters that need quoting in keys or shells.
const ID_TIME: &str = "%Y%m%dT%H%M%SZ";

/// Why a name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// A backup id has the form `20261122T021000Z-1a2b3c4d`.
    #[error("backup id {0:?} is not of the form 20261122T021000Z-1a2b3c4d")]
    BackupId(String),
    /// A path segment that would leave its place in the bucket.
    #[error("{what} {value:?} cannot be part of an object key: use 1 to 253 of a-z, A-Z, 0-9, '-', '_', '.'")]
    Segment {
        /// Which field it came from.
        what: &'static str,
        /// The refused text.
        value: String,
    },
}

/// Identifies one backup: the UTC second its run started and eight random hex digits drawn by the process that wrote it,
/// so that two pods of one Job never write under one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId {
    time: DateTime<Utc>,
    run: String,
}

impl BackupId {
    /// The id of a run that started at `time` (cut to the second) and drew `random`.
    pub fn new(time: DateTime<Utc>, random: u32) -> Self {
        Self { time: time.trunc_subsecs(0), run: format!("{random:08x}") }
    }

    /// When the run started, to the second. Not the snapshot time: that is in the manifest.
    pub fn time(&self) -> DateTime<Utc> {
        self.time
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time.format(ID_TIME), self.run)
    }
}

impl FromStr for BackupId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::BackupId(text.to_owned());
        let (time, run) = text.split_once('-').ok_or_else(refuse)?;
        let time = NaiveDateTime::parse_from_str(time, ID_TIME).map_err(|_| refuse())?.and_utc();
        // Small letters only: keys are compared byte by byte, and one backup must have one id.
        if run.len() != 8 || !run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(refuse());
        }
        Ok(Self { time, run: run.to_owned() })
    }
}

impl TryFrom<String> for BackupId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.to_string()
    }
}

/// Checks one segment of an object key. Bucket content and shell input are hostile: `..` or `/` never get through.
pub fn segment<'a>(what: &'static str, value: &'a str) -> Result<&'a str, NameError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let dots = value.bytes().all(|b| b == b'.');
    // 253 is the longest name in Kubernetes.
    if value.is_empty() || value.len() > 253 || dots || !value.bytes().all(legal) {
        return Err(NameError::Segment { what, value: value.to_owned() });
    }
    Ok(value)
}

/// The directories of a bucket, side by side under the storage's prefix (docs/format.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Area {
    /// The daily backups; expire by tag after the retention.
    Daily,
    /// Backups held by server-side copy, on stores without tagging.
    Held,
    /// Safety backups of databases that a full restore replaced.
    Safety,
    /// Finished CRM exports.
    Exports,
    /// The report of each task of a Job.
    Results,
    /// How far a running task is.
    Progress,
    /// One object for each claimed RestoreRequest, by UID: written by the worker before it acts.
    Claims,
    /// The append-only audit record of each RestoreRequest.
    Audit,
}

/// Builds object keys under one storage's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys under `prefix`; leading and trailing slashes do not matter, an empty prefix is the bucket's root.
    pub fn new(prefix: &str) -> Self {
        let trimmed = prefix.trim_matches('/');
        Self { prefix: if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") } }
    }

    /// `<prefix>/`, or nothing when the storage has the whole bucket.
    pub fn root(&self) -> &str {
        &self.prefix
    }

    /// `<prefix>/owner.json`: whose prefix this is ([`crate::prefix_owner`]).
    pub fn owner(&self) -> String {
        format!("{}owner.json", self.prefix)
    }

    /// The same key of every prefix that this one lies in, the bucket's root first, and of the areas of this one: whoever
    /// owned one of them would share objects with us.
    pub fn overlapping_owners(&self) -> Vec<String> {
        let outer = std::iter::once(0).chain(self.prefix.match_indices('/').map(|(at, _)| at + 1));
        let outer =
            outer.filter(|end| *end < self.prefix.len()).map(|end| format!("{}owner.json", &self.prefix[..end]));
        outer.chain(Area::iter().map(|area| format!("{}owner.json", self.area(area)))).collect()
    }

    /// `<prefix>/<area>/`
    pub fn area(&self, area: Area) -> String {
        format!("{}{area}/", self.prefix)
    }

    /// `<prefix>/<area>/<namespace>/<schedule>/`: all backups of one schedule.
    pub fn schedule(&self, area: Area, namespace: &str, schedule: &str) -> Result<String, NameError> {
        Ok(format!("{}{}/{}/", self.area(area), segment("namespace", namespace)?, segment("schedule", schedule)?))
    }

    /// `<prefix>/<area>/<namespace>/<schedule>/<id>/`: one backup.
    pub fn backup(&self, area: Area, namespace: &str, schedule: &str, id: &BackupId) -> Result<String, NameError> {
        Ok(format!("{}{id}/", self.schedule(area, namespace, schedule)?))
    }

    /// `<prefix>/results/<job uid>/<task>.json`
    pub fn result(&self, job_uid: &str, task: &str) -> Result<String, NameError> {
        Ok(format!("{}{}/{}.json", self.area(Area::Results), segment("job uid", job_uid)?, segment("task", task)?))
    }

    /// `<prefix>/progress/<job uid>/<task>.json`
    pub fn progress(&self, job_uid: &str, task: &str) -> Result<String, NameError> {
        Ok(format!("{}{}/{}.json", self.area(Area::Progress), segment("job uid", job_uid)?, segment("task", task)?))
    }

    /// `<prefix>/claims/<request uid>`
    pub fn claim(&self, request_uid: &str) -> Result<String, NameError> {
        Ok(format!("{}{}", self.area(Area::Claims), segment("request uid", request_uid)?))
    }

    /// `<prefix>/claims/<request uid>.journal`: what a swap must know to be ended by another process.
    pub fn journal(&self, request_uid: &str) -> Result<String, NameError> {
        Ok(format!("{}.journal", self.claim(request_uid)?))
    }

    /// `<prefix>/audit/<request uid>/`: the record of one request.
    pub fn audit(&self, request_uid: &str) -> Result<String, NameError> {
        Ok(format!("{}{}/", self.area(Area::Audit), segment("request uid", request_uid)?))
    }

    /// `<prefix>/audit/<request uid>/<seq>.json`, the number padded to six digits so that keys sort as numbers.
    pub fn audit_entry(&self, request_uid: &str, seq: i64) -> Result<String, NameError> {
        Ok(format!("{}{seq:06}.json", self.audit(request_uid)?))
    }

    /// `<prefix>/exports/<namespace>/<request uid>/`
    pub fn export(&self, namespace: &str, request_uid: &str) -> Result<String, NameError> {
        Ok(format!(
            "{}{}/{}/",
            self.area(Area::Exports),
            segment("namespace", namespace)?,
            segment("request uid", request_uid)?
        ))
    }
}

/// The list of the live database's ids below an export's [`Keys::export`], written by one Job.
pub fn live_ids(export: &str, job_uid: &str) -> Result<String, NameError> {
    // By the Job's UID: a list that an earlier attempt left must not pass for this one's.
    Ok(format!("{export}live-ids-{}.zst", segment("job uid", job_uid)?))
}

/// The first `digits` hex digits (at most 64) of a SHA-256 over `parts`, each length-prefixed so that moving a character
/// from one part to the next changes the result. Stable for ever: slots, Job names and rule ids rest on it.
pub fn stable_hash(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(digits);
    text
}

/// A step that a Job takes for a RestoreRequest, named like the verb that the worker has for it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::EnumIter, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum RestoreStep {
    /// Checks the server, read-only; repeatable.
    Preflight,
    /// Fills a new database beside the live one; repeatable.
    Prepare,
    /// Swaps the databases; at most once per RestoreRequest UID.
    Cutover,
    /// Lists the ids that the live database still has; repeatable, before the claim.
    LiveIds,
    /// Writes CSV files out of the backup; repeatable, after the claim.
    Export,
    /// Completes or reverts a swap whose Job was lost; repeatable.
    RecoverCutover,
    /// Dumps the replaced database after the swap; repeatable.
    SafetyBackup,
    /// Drops the database that the request left on the server; repeatable.
    DropDatabase,
}

/// The name of a restore Job: `r<20 hex of the request UID>-<step>[-a<attempt>]-sennight-restore`. A cut-over has no
/// attempt in its name: there is one for ever (I2).
pub fn restore_job(request_uid: &str, step: RestoreStep, attempt: i32) -> String {
    // Twenty digits: with the longest step and an attempt the name stays within the 63 characters of a label.
    let uid: String = request_uid.chars().filter(char::is_ascii_hexdigit).take(20).collect();
    // guard(i2_a_cut_over_has_one_name_for_ever, never): the cut-over of a request has one Job name
    let attempt = if step == RestoreStep::Cutover { String::new() } else { format!("-a{attempt}") };
    format!("r{uid}-{step}{attempt}{RESTORE_SUFFIX}")
}

/// The database that `prepare` fills beside the live one: `<live>__r<12 hex of the request UID>`, the live part cut so
/// that the whole stays within PostgreSQL's 63 bytes.
pub fn new_database(live: &str, request_uid: &str) -> String {
    side_database(live, "__r", request_uid)
}

/// The name that the swap gives the replaced database: `<live>__old<12 hex of the request UID>`.
pub fn previous_database(live: &str, request_uid: &str) -> String {
    side_database(live, "__old", request_uid)
}

/// The name that a database gets in the instant before it is dropped: `<live>__del<12 hex of the request's UID>`.
pub fn database_to_drop(live: &str, request_uid: &str) -> String {
    side_database(live, "__del", request_uid)
}

/// The scratch database of a tenant's drills: one for each tenant, whatever the server.
pub fn drill_database(namespace: &str, schedule: &str) -> String {
    format!("sennight_drill_{}", stable_hash(&["drill", namespace, schedule], 16))
}

/// The name of a drill's Job. `why` is the day or the token that asks for it: the same drill has the same name.
pub fn drill_job(schedule_uid: &str, backup: &str, why: &str) -> String {
    format!("sennight-drill-{}", stable_hash(&["drill", schedule_uid, backup, why], 20))
}

fn side_database(live: &str, infix: &str, request_uid: &str) -> String {
    let uid: String = request_uid.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    // PostgreSQL itself cuts longer names without an error: two databases could end up with one name.
    let longest = 63 - infix.len() - 12;
    let mut end = live.len().min(longest);
    while !live.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{infix}{uid}", &live[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab";

    #[test]
    fn an_id_round_trips_and_a_broken_one_names_itself() {
        let id = BackupId::new("2026-11-22T02:10:00.7Z".parse().unwrap(), 0x1a2b_3c4d);
        assert_eq!(id.to_string(), "20261122T021000Z-1a2b3c4d");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "20261122T021000Z", "20261122T021000Z-xyz", "20261122T021000Z-1A2B3C4D", "../x-1a2b3c4d"] {
            assert_eq!(bad.parse::<BackupId>(), Err(NameError::BackupId(bad.to_owned())));
        }
    }

    #[test]
    fn an_owner_is_looked_for_where_objects_would_be_shared() {
        let outer = |prefix: &str| {
            Keys::new(prefix).overlapping_owners().into_iter().filter(|key| !key.contains("claims")).collect::<Vec<_>>()
        };
        assert_eq!(outer("a/b")[..2], ["owner.json", "a/owner.json"], "where this one lies in another");
        assert!(outer("a/b").contains(&"a/b/daily/owner.json".to_owned()), "where another one lies in this");
        assert!(!outer("a/b").contains(&Keys::new("a/b").owner()), "its own is no other's");
        assert_eq!(Keys::new("").overlapping_owners().len(), Area::iter().count());
        assert_eq!(Keys::new("").owner(), "owner.json");
    }

    #[test]
    fn keys_never_leave_their_prefix() {
        let keys = Keys::new("/a/b/");
        assert_eq!(keys.schedule(Area::Daily, "ns", "acme").unwrap(), "a/b/daily/ns/acme/");
        for bad in ["", ".", "..", "a/b", "a\0", "é"] {
            assert!(keys.schedule(Area::Daily, bad, "acme").is_err(), "{bad:?}");
            assert!(keys.claim(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Keys::new("").claim(UID).unwrap(), format!("claims/{UID}"));
    }

    #[test]
    fn i2_a_cut_over_has_one_name_for_ever() {
        assert_eq!(restore_job(UID, RestoreStep::Cutover, 1), restore_job(UID, RestoreStep::Cutover, 2));
        assert_ne!(restore_job(UID, RestoreStep::Prepare, 1), restore_job(UID, RestoreStep::Prepare, 2));
        for step in RestoreStep::iter() {
            let name = restore_job(UID, step, 9);
            assert!(name.len() <= 57, "room for the pod's suffix: {name}");
            assert_eq!(step.to_string().parse(), Ok(step));
        }
    }

    proptest! {
        #[test]
        fn side_databases_fit_in_63_bytes(live in "\\PC{1,63}") {
            for name in [new_database(&live, UID), previous_database(&live, UID)] {
                prop_assert!(name.len() <= 63);
                prop_assert_ne!(&name, &live);
            }
        }
    }
}
