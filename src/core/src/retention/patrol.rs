//! What a patrol makes of what it finds in a bucket: what the operator deletes where the bucket has no rules, what the
//! rules should have deleted, and which holds nobody needs any more. Pure: the listing and `now` are arguments.

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
    /// Its key.
    pub key: String,
    /// When it was stored, by the store's clock.
    pub stored: Option<DateTime<Utc>>,
}

/// A backup's directory as a listing shows it, with or without a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupDir {
    /// `daily`, `held` or `safety`.
    pub area: Area,
    /// Namespace of its schedule.
    pub namespace: String,
    /// Name of its schedule.
    pub schedule: String,
    /// Its id.
    pub id: BackupId,
    /// Its key prefix.
    pub prefix: String,
    /// Every object below the prefix.
    pub objects: Vec<Object>,
}

/// What a listing shows: directories of backups, and objects that stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All objects of one directory.
    Backup(BackupDir),
    /// An object of an area without backups, and whether it is surely ours.
    Single(Area, Owned, Object),
}

/// Puts the objects of an area's listing, in the order of keys, together to directories. A directory is given away only
/// when the listing has gone past it: what is missing at a page's end is not missing in the bucket.
#[derive(Debug)]
pub struct Grouper {
    area: Area,
    keys: Keys,
    root: String,
    open: Option<BackupDir>,
}

impl Grouper {
    /// For one area.
    pub fn new(keys: &Keys, area: Area) -> Self {
        Self { area, keys: keys.clone(), root: keys.area(area), open: None }
    }

    /// Takes the next object; gives what it completes. Names that are not Sennight's are passed over.
    pub fn push(&mut self, object: Object) -> Option<Found> {
        if !matches!(self.area, Area::Daily | Area::Held | Area::Safety) {
            let whose = owned(&self.keys, self.area, &object.key);
            return (whose != Owned::Foreign).then_some(Found::Single(self.area, whose, object));
        }
        if let Some(open) = &mut self.open
            && let Some(below) = object.key.strip_prefix(&open.prefix)
        {
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
    /// The key of its manifest.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST}", self.prefix)
    }

    /// Whether the listing had a manifest.
    pub fn is_whole(&self) -> bool {
        self.objects.iter().any(|object| object.key == self.manifest())
    }

    /// The last sign of life, by the store's clock and the worker's; `None` if the store does not say when it stored an
    /// object, and then nothing is ever too old.
    fn newest(&self) -> Option<DateTime<Utc>> {
        let stored = self.objects.iter().map(|object| object.stored).collect::<Option<Vec<_>>>()?;
        stored.into_iter().max().map(|stored| stored.max(self.id.time()))
    }

    /// When its retention is over, as rules would count: from its last object on. A held twin lies there longer than its
    /// original and counts from the run's own time.
    fn expiry(&self, days: i32) -> Option<DateTime<Utc>> {
        let from = if self.area == Area::Held { Some(self.id.time()) } else { self.newest() };
        from.map(|from| expires_at(from, days))
    }

    /// What must be deleted first, and then the rest: without its manifest a backup does not exist, so that a deletion that
    /// breaks off leaves no backup that only seems whole (I4).
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

/// What a patrol goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// `retention.days`.
    pub days: i32,
    /// Who lets backups expire.
    pub enforcer: Enforcer,
    /// Whether orphaned holds are released. Not in a cluster that was set up just now: its schedules and requests may
    /// still be on their way.
    pub release: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// Who needs a backup beyond its retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// A RestoreRequest that has not ended.
    pub request: bool,
    /// A schedule's `retention.keepLastGood`, until then.
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
    /// It is deleted: its time is over and the operator is who deletes.
    Delete,
    /// It is what a failed run left and is deleted, if there is still no manifest.
    DeleteUnfinished,
    /// Its hold is given up: nobody needs it, and its retention is over.
    Release,
    /// A hold that nobody needs any more, but not yet released.
    Orphan,
    /// The bucket's rules should have deleted it, days ago.
    Overdue,
}

impl Orders {
    /// Whether the tags of a directory's manifest must be read before [`Self::judge`] is asked: of most they need not.
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

    /// Judges a directory. `tags` are its manifest's, where [`Self::needs_tags`] asked for them and the store has any.
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
        // Somebody else's mark on it: rules do not match it, and neither does the sweep.
        let marked = tags.and_then(|tags| tags.get(TAG_RETAIN)).is_some_and(|retain| retain != RETAIN_DAILY);
        match self.enforcer {
            Enforcer::Operator if !marked => Verdict::Delete,
            Enforcer::Operator | Enforcer::Rules if self.overdue(dir) => Verdict::Overdue,
            Enforcer::Operator | Enforcer::Rules => Verdict::Keep,
        }
    }

    /// A hold must end at most [`HOLD_DAYS`] past the expiry, whoever wants it longer (I5).
    fn needed(&self, dir: &BackupDir, need: Need) -> bool {
        let longest = || dir.expiry(self.days).map(|end| end + TimeDelta::days(i64::from(HOLD_DAYS)));
        let request = need.request && longest().is_none_or(|end| self.now < end);
        request || need.last_good.is_some_and(|until| self.now < until)
    }

    fn judge_unfinished(&self, dir: &BackupDir, need: Need) -> Verdict {
        let old = dir.newest().is_some_and(|at| at + TimeDelta::days(UNFINISHED_DAYS) <= self.now);
        // A twin on its way to held/ has no manifest yet; rules do not reach there. Nor do they reach data that a hold had
        // tagged when it broke off, and whose manifest expired.
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
        self.enforcer == Enforcer::Operator && object.stored.is_some_and(|at| expires_at(at, days) <= self.now)
    }

    /// Whether an upload that nobody finished should have been aborted.
    pub fn upload_orphaned(&self, begun: Option<DateTime<Utc>>) -> bool {
        begun.is_some_and(|at| expires_at(at, ABORT_DAYS) <= self.now)
    }

    /// The areas that a patrol walks: where rules delete, what stands alone is theirs.
    pub fn areas(&self) -> Vec<Area> {
        let backups = |area: &Area| matches!(area, Area::Daily | Area::Held | Area::Safety);
        AREAS.into_iter().filter(|area| self.enforcer == Enforcer::Operator || backups(area)).collect()
    }
}

#[cfg(test)]
mod tests;
