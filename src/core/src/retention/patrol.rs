//! The patrol's decisions about a bucket's listing: what the operator deletes where the bucket has no rules, what the rules
//! should have deleted, and which holds nobody needs. Listing and deleting are in `storage`.

use super::owned::{Owned, is_part_of_backup, owned};
use super::{
    ABORT_DAYS, AREAS, EXPORT_DAYS, HOLD_DAYS, RECORD_DAYS, RESULT_DAYS, RETAIN_DAILY, SAFETY_DAYS, TAG_RETAIN,
    expires_at, hold_of,
};
use crate::manifest::MANIFEST;
use crate::names::{Area, BackupId, Keys, segment};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// Days past its expiry from which a backup counts as overdue: rules may lag by hours, not by days.
pub const OVERDUE_DAYS: i64 = 2;
/// Days without a new object after which a directory without a manifest is what a failed run left behind. No dump may
/// take so long (`--dump-deadline`).
pub const UNFINISHED_DAYS: i64 = 2;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key of the object.
    pub key: String,
    /// When it was stored, by the store's clock; `None` if the store does not say.
    pub stored: Option<DateTime<Utc>>,
}

/// A backup's directory as a listing shows it, with or without a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupDir {
    /// `daily`, `held` or `safety`.
    pub area: Area,
    /// Namespace of the BackupSchedule.
    pub namespace: String,
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// Id of the backup.
    pub id: BackupId,
    /// Key prefix of the directory, ending in `/`.
    pub prefix: String,
    /// Every object below the prefix.
    pub objects: Vec<Object>,
}

/// A part of a listing: the directory of a backup, or a single object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All objects of one directory.
    Backup(BackupDir),
    /// An object of an area without backups, and whether it is ours.
    Single(Area, Owned, Object),
}

/// Groups the objects of an area's listing, which come in the order of keys, into directories. A directory is complete only
/// when the listing has gone past it: its other objects may be on the next page.
#[derive(Debug)]
pub struct Grouper {
    area: Area,
    keys: Keys,
    root: String,
    open: Option<BackupDir>,
}

impl Grouper {
    /// A grouper of one area's listing.
    pub fn new(keys: &Keys, area: Area) -> Self {
        Self { area, keys: keys.clone(), root: keys.area(area), open: None }
    }

    /// Takes the next object; returns what is complete by that. Objects that are not Sennight's are skipped.
    pub fn push(&mut self, object: Object) -> Option<Found> {
        if !matches!(self.area, Area::Daily | Area::Held | Area::Safety) {
            let whose = owned(&self.keys, self.area, &object.key);
            return (whose != Owned::Foreign).then_some(Found::Single(self.area, whose, object));
        }
        if let Some(open) = &mut self.open
            && let Some(below) = object.key.strip_prefix(&open.prefix)
        {
            // Others' objects inside a backup's directory are passed over, and stay when the backup is deleted.
            if is_part_of_backup(below) {
                open.objects.push(object);
            }
            return None;
        }
        let next = self.directory(object);
        std::mem::replace(&mut self.open, next).map(Found::Backup)
    }

    /// The last directory, once the listing has ended.
    pub fn finish(&mut self) -> Option<Found> {
        self.open.take().map(Found::Backup)
    }

    /// The first key of the directory that is still open: where a listing that breaks off here must begin again.
    pub fn pending(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.prefix.as_str())
    }

    fn directory(&self, object: Object) -> Option<BackupDir> {
        let mut parts = object.key.strip_prefix(&self.root)?.splitn(4, '/');
        let (namespace, schedule, id) = (parts.next()?, parts.next()?, parts.next()?);
        // A directory has something of ours below it.
        parts.next().filter(|below| is_part_of_backup(below))?;
        let id: BackupId = id.parse().ok()?;
        let namespace = segment("namespace", namespace).ok()?.to_owned();
        let schedule = segment("schedule", schedule).ok()?.to_owned();
        let prefix = format!("{}{namespace}/{schedule}/{id}/", self.root);
        Some(BackupDir { area: self.area, namespace, schedule, id, prefix, objects: vec![object] })
    }
}

impl BackupDir {
    /// Key of the manifest, whether it exists or not.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST}", self.prefix)
    }

    /// Whether the listing had the manifest: without one it is no backup (I4).
    pub fn is_whole(&self) -> bool {
        self.objects.iter().any(|object| object.key == self.manifest())
    }

    /// When the last object was stored or the run began, whichever is later. `None` if the store does not say when it stored
    /// an object; then the directory is never too old.
    fn newest(&self) -> Option<DateTime<Utc>> {
        let stored = self.objects.iter().map(|object| object.stored).collect::<Option<Vec<_>>>()?;
        stored.into_iter().max().map(|stored| stored.max(self.id.time()))
    }

    /// When its retention is over, counted like lifecycle rules from its last object on. A copy in `held/` is younger than
    /// its original and counts from the run's own time.
    fn expiry(&self, days: i32) -> Option<DateTime<Utc>> {
        let from = if self.area == Area::Held { Some(self.id.time()) } else { self.newest() };
        from.map(|from| expires_at(from, days))
    }

    /// The manifest, which must be deleted first, and the other objects. A deletion that breaks off must not leave a
    /// manifest whose objects are gone (I4).
    pub fn deletion(&self) -> (Option<String>, Vec<String>) {
        let manifest = self.manifest();
        let rest = self.objects.iter().map(|object| object.key.clone()).filter(|key| *key != manifest).collect();
        (self.is_whole().then_some(manifest), rest)
    }
}

/// Who lets backups expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcer {
    /// The bucket's rules.
    Rules,
    /// The operator: the store has no rules, or the platform team wants none.
    Operator,
}

/// What a patrol's decisions depend on, besides the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// `retention.days`.
    pub days: i32,
    /// Who lets backups expire.
    pub enforcer: Enforcer,
    /// Whether orphaned holds are released. Not in a cluster that was just set up: its schedules and requests may not
    /// exist yet.
    pub release: bool,
    /// The current time.
    pub now: DateTime<Utc>,
}

/// Who needs a backup beyond its retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// A RestoreRequest that has not ended.
    pub request: bool,
    /// The end of a hold by `retention.keepLastGood`.
    pub last_good: Option<DateTime<Utc>>,
}

impl Need {
    /// Nobody needs it.
    pub const NOBODY: Self = Self { request: false, last_good: None };
}

/// What is done about a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Delete it: its retention is over, and the operator lets backups expire.
    Delete,
    /// Delete what a failed run left, if there is still no manifest.
    DeleteUnfinished,
    /// Release its hold: nobody needs it, and its retention is over.
    Release,
    /// Report its hold: nobody needs it, but this patrol does not release holds.
    Orphan,
    /// Report it: the bucket's rules should have deleted it days ago.
    Overdue,
}

impl Orders {
    /// Whether [`Self::judge`] needs the tags of the directory's manifest. For most it does not, which saves a request each.
    pub fn needs_tags(&self, dir: &BackupDir) -> bool {
        dir.area == Area::Daily && dir.is_whole() && self.expired(dir)
    }

    fn expired(&self, dir: &BackupDir) -> bool {
        let days = if dir.area == Area::Safety { SAFETY_DAYS } else { self.days };
        dir.expiry(days).is_some_and(|end| end <= self.now)
    }

    fn overdue(&self, dir: &BackupDir) -> bool {
        let days = if dir.area == Area::Safety { SAFETY_DAYS } else { self.days };
        dir.expiry(days).is_some_and(|end| end + TimeDelta::days(OVERDUE_DAYS) <= self.now)
    }

    /// What to do about a directory. `tags` are those of its manifest, where [`Self::needs_tags`] and the store has tags.
    pub fn judge(&self, dir: &BackupDir, tags: Option<&BTreeMap<String, String>>, need: Need) -> Verdict {
        if !dir.is_whole() {
            return self.judge_unfinished(dir, need);
        }
        if !self.expired(dir) || self.needed(dir, need) {
            return Verdict::Keep;
        }
        let held = dir.area == Area::Held || tags.is_some_and(|tags| hold_of(tags).is_some());
        if held {
            return if self.release { Verdict::Release } else { Verdict::Orphan };
        }
        // A person gave the tag another value: no rule matches it, so the operator does not delete it either.
        let marked = tags.and_then(|tags| tags.get(TAG_RETAIN)).is_some_and(|retain| retain != RETAIN_DAILY);
        match self.enforcer {
            Enforcer::Operator if !marked => Verdict::Delete,
            Enforcer::Operator | Enforcer::Rules if self.overdue(dir) => Verdict::Overdue,
            Enforcer::Operator | Enforcer::Rules => Verdict::Keep,
        }
    }

    /// Whether somebody needs the backup. A hold ends at most [`HOLD_DAYS`] past the expiry, whoever wants it longer (I5).
    fn needed(&self, dir: &BackupDir, need: Need) -> bool {
        let longest = || dir.expiry(self.days).map(|end| end + TimeDelta::days(i64::from(HOLD_DAYS)));
        let request = need.request && longest().is_none_or(|end| self.now < end);
        request || need.last_good.is_some_and(|until| self.now < until)
    }

    fn judge_unfinished(&self, dir: &BackupDir, need: Need) -> Verdict {
        let old = dir.newest().is_some_and(|at| at + TimeDelta::days(UNFINISHED_DAYS) <= self.now);
        // Rules do not reach two cases: a copy to held/ that broke off before its manifest, and data that an interrupted
        // hold had tagged and whose manifest expired.
        let stuck = self.release && self.overdue(dir);
        let ours = dir.area == Area::Held || self.enforcer == Enforcer::Operator || stuck;
        if old && ours && need == Need::NOBODY { Verdict::DeleteUnfinished } else { Verdict::Keep }
    }

    /// Whether an object of an area without backups is deleted.
    pub fn sweeps(&self, area: Area, object: &Object) -> bool {
        let days = match area {
            Area::Exports => EXPORT_DAYS,
            Area::Results | Area::Progress => RESULT_DAYS,
            Area::Claims | Area::Audit => RECORD_DAYS,
            Area::Daily | Area::Held | Area::Safety => return false,
        };
        // An object whose age the store does not tell stays.
        self.enforcer == Enforcer::Operator && object.stored.is_some_and(|at| expires_at(at, days) <= self.now)
    }

    /// Whether an unfinished upload should have been aborted by now.
    pub fn upload_orphaned(&self, begun: Option<DateTime<Utc>>) -> bool {
        begun.is_some_and(|at| expires_at(at, ABORT_DAYS) <= self.now)
    }

    /// The areas that a patrol lists: where rules delete, those without backups are left to them.
    pub fn areas(&self) -> Vec<Area> {
        let backups = |area: &Area| matches!(area, Area::Daily | Area::Held | Area::Safety);
        AREAS.into_iter().filter(|area| self.enforcer == Enforcer::Operator || backups(area)).collect()
    }
}

#[cfg(test)]
mod tests;
