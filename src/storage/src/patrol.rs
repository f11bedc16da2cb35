//! The patrol's requests to the bucket: lists the areas page by page, does what [`Orders`] decides, and counts. It may be
//! interrupted at any point, and run twice at the same time.

use super::client::absent;
use super::listing::Page;
use super::{Store, StoreError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sennight_core::names::Area;
use sennight_core::retention::daily_tags;
use sennight_core::retention::owned::{Owned, owned_upload};
use sennight_core::retention::patrol::{BackupDir, Found, Grouper, Need, Object, Orders, Verdict};

/// Manifests whose tags are read at the same time.
const AT_ONCE: usize = 8;

/// Counts of one patrol so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Backups that were found.
    pub backups: usize,
    /// Objects that were deleted because their time was over.
    pub swept: usize,
    /// Backups that should be gone and are not.
    pub overdue: usize,
    /// Prefix of the first overdue backup.
    pub first_overdue: Option<String>,
    /// Holds that nobody needs.
    pub orphaned_holds: usize,
    /// How many of them were released.
    pub released: usize,
    /// Prefix of the first backup with such a hold.
    pub first_orphan: Option<String>,
    /// Uploads that nobody finished and no rule aborted in time.
    pub orphaned_uploads: usize,
    /// How many of them were aborted.
    pub aborted: usize,
    /// Why uploads could not be listed, if the store refused only that.
    pub uploads_refused: Option<String>,
}

/// Position of a patrol. This process continues from here; another one begins again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    areas: Vec<Area>,
    after: Option<String>,
    tally: Tally,
}

impl Walk {
    /// The position before the first page.
    pub fn new(orders: &Orders) -> Self {
        // Areas are taken from the end of this list.
        let mut areas = orders.areas();
        areas.reverse();
        Self { areas, after: None, tally: Tally::default() }
    }

    /// The counts so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Tells for a backup whether somebody needs it longer than its retention.
pub type Needs<'a> = &'a (dyn Fn(&BackupDir) -> Need + Send + Sync);

impl Store {
    /// Continues a patrol for at most `pages` pages of the listing. True when it is finished. Unfinished uploads come last, and
    /// are aborted only if `abort`.
    pub async fn patrol(
        &self,
        orders: &Orders,
        needs: Needs<'_>,
        abort: bool,
        walk: &mut Walk,
        pages: usize,
    ) -> Result<bool, StoreError> {
        let mut left = pages;
        while let Some(area) = walk.areas.last().copied() {
            if !self.walk_area(orders, needs, area, walk, &mut left).await? {
                return Ok(false);
            }
            walk.areas.pop();
            walk.after = None;
        }
        self.patrol_uploads(orders, abort, &mut walk.tally).await?;
        Ok(true)
    }

    async fn walk_area(
        &self,
        orders: &Orders,
        needs: Needs<'_>,
        area: Area,
        walk: &mut Walk,
        left: &mut usize,
    ) -> Result<bool, StoreError> {
        let mut grouper = Grouper::new(&self.keys, area);
        let begin = walk.after.clone();
        let mut after = begin.clone();
        loop {
            // A directory with more objects than fit into these pages is still walked to its end.
            if *left == 0 && walk.after != begin {
                return Ok(false);
            }
            *left = left.saturating_sub(1);
            let Page { objects, more } = self.list_page(&self.keys.area(area), after.as_deref()).await?;
            after = objects.last().map(|object| object.key.clone()).or(after);
            let mut found: Vec<Found> = objects
                .into_iter()
                .filter_map(|o| grouper.push(Object { key: o.key, stored: o.last_modified }))
                .collect();
            if !more {
                found.extend(grouper.finish());
            }
            self.act(orders, needs, found, &mut walk.tally).await?;
            if !more {
                return Ok(true);
            }
            // If the page ends inside a directory, the next call begins with that directory.
            walk.after = grouper.pending().map(str::to_owned).or_else(|| after.clone());
        }
    }

    async fn act(
        &self,
        orders: &Orders,
        needs: Needs<'_>,
        found: Vec<Found>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let (mut first, mut then) = (Vec::new(), Vec::new());
        let judged: Vec<(Found, Verdict)> =
            stream::iter(found).map(|found| self.judge(orders, needs, found)).buffered(AT_ONCE).try_collect().await?;
        for (found, verdict) in judged {
            let dir = match found {
                Found::Backup(dir) => dir,
                Found::Single(_, _, object) => {
                    if verdict == Verdict::Delete {
                        then.push(object.key);
                    }
                    continue;
                }
            };
            tally.backups += usize::from(dir.is_whole());
            match verdict {
                Verdict::Keep => {}
                Verdict::Delete | Verdict::DeleteUnfinished => {
                    let (manifest, rest) = dir.deletion();
                    first.extend(manifest);
                    then.extend(rest);
                }
                Verdict::Overdue => {
                    tally.overdue += 1;
                    tally.first_overdue.get_or_insert(dir.prefix);
                }
                Verdict::Orphan | Verdict::Release => {
                    tally.orphaned_holds += 1;
                    tally.first_orphan.get_or_insert_with(|| dir.prefix.clone());
                    if verdict == Verdict::Release {
                        self.release_dir(&dir).await?;
                        tally.released += 1;
                    }
                }
            }
        }
        tally.swept += first.len() + then.len();
        // Manifests first: no backup may exist whose data is partly deleted (I4).
        self.delete(&first).await?;
        self.delete(&then).await
    }

    async fn judge(&self, orders: &Orders, needs: Needs<'_>, found: Found) -> Result<(Found, Verdict), StoreError> {
        let verdict = match &found {
            Found::Single(area, whose, object) if orders.sweeps(*area, object) => {
                // Where anybody could have chosen the name, only the object itself tells that it is Sennight's.
                let ours = *whose == Owned::Ours || self.is_marked(&object.key).await?;
                if ours { Verdict::Delete } else { Verdict::Keep }
            }
            Found::Single(..) => Verdict::Keep,
            Found::Backup(dir) => self.judge_dir(orders, needs(dir), dir).await?,
        };
        Ok((found, verdict))
    }

    async fn judge_dir(&self, orders: &Orders, need: Need, dir: &BackupDir) -> Result<Verdict, StoreError> {
        let tags = if self.capabilities().tagging && orders.needs_tags(dir) {
            match self.tags_opt(&dir.manifest()).await? {
                Some(tags) => Some(tags),
                // Deleted since it was listed.
                None => return Ok(Verdict::Keep),
            }
        } else {
            None
        };
        let verdict = orders.judge(dir, tags.as_ref(), need);
        // The listing may be out of date: if there is a manifest after all, this is a backup.
        if verdict == Verdict::DeleteUnfinished && self.head_opt(&dir.manifest()).await?.is_some() {
            return Ok(Verdict::Keep);
        }
        Ok(verdict)
    }

    /// Ends the hold on a directory, manifest first. The manifest need not be readable.
    async fn release_dir(&self, dir: &BackupDir) -> Result<(), StoreError> {
        let (manifest, rest) = dir.deletion();
        if dir.area == Area::Held {
            // As in a sweep: no backup may exist whose data is partly deleted (I4).
            let manifest: Vec<String> = manifest.into_iter().collect();
            self.delete(&manifest).await?;
            return self.delete(&rest).await;
        }
        let tags = daily_tags();
        for key in manifest.into_iter().chain(rest) {
            absent(self.put_tags(&key, &tags).await)?;
        }
        Ok(())
    }

    async fn patrol_uploads(&self, orders: &Orders, abort: bool, tally: &mut Tally) -> Result<(), StoreError> {
        let uploads = match self.unfinished_uploads().await {
            // Older bucket policies lack this right: the patrol of the backups must not fail because of it.
            Err(error @ (StoreError::AccessDenied { .. } | StoreError::Refused { .. })) => {
                tally.uploads_refused = Some(error.to_string());
                return Ok(());
            }
            other => other?,
        };
        for upload in uploads {
            // Without a prefix others' uploads may lie in folders of the areas' names: the key must be one of
            // Sennight's.
            if !orders.upload_orphaned(upload.begun) || !owned_upload(&self.keys, &upload.key) {
                continue;
            }
            tally.orphaned_uploads += 1;
            if abort {
                self.abort_multipart(&upload.key, &upload.id).await;
                tally.aborted += 1;
            }
        }
        Ok(())
    }
}
