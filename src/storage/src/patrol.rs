//! The patrol's I/O: walks the areas page by page, does what [`Orders`] judges, and counts. Everything in it may be done
//! twice, by two processes, and broken off at any point.

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

/// What a patrol has seen and done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Backups that were looked at.
    pub backups: usize,
    /// Objects that were deleted because their time was over.
    pub swept: usize,
    /// Backups that should be gone and are not.
    pub overdue: usize,
    /// The first of them.
    pub first_overdue: Option<String>,
    /// Holds that nobody needs.
    pub orphaned_holds: usize,
    /// How many of them were released.
    pub released: usize,
    /// The first of them.
    pub first_orphan: Option<String>,
    /// Uploads that nobody finished and no rule aborted in time.
    pub orphaned_uploads: usize,
    /// How many of them were aborted.
    pub aborted: usize,
    /// Why the uploads could not be looked at, if the store or its policy refused that and nothing else.
    pub uploads_refused: Option<String>,
}

/// Where a patrol is: it goes on from here, in this process or (from the start) in the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    areas: Vec<Area>,
    after: Option<String>,
    tally: Tally,
}

impl Walk {
    /// At the beginning.
    pub fn new(orders: &Orders) -> Self {
        // The last one is walked first: taken from the end.
        let mut areas = orders.areas();
        areas.reverse();
        Self { areas, after: None, tally: Tally::default() }
    }

    /// What was seen and done so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Who needs a backup beyond its retention.
pub type Needs<'a> = &'a (dyn Fn(&BackupDir) -> Need + Send + Sync);

impl Store {
    /// Goes on with a patrol for at most so many pages of the listing. True when it has come to its end; uploads are
    /// looked at last, and aborted only if `abort`.
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
            // A directory that is longer than a piece is walked to its end all the same.
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
            // A directory that the page's end cut is seen whole next time.
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
                Verdict::Delete | Verdict::Clear => {
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
        // No data is touched before every manifest of this page is gone (I4).
        self.delete(&first).await?;
        self.delete(&then).await
    }

    async fn judge(&self, orders: &Orders, needs: Needs<'_>, found: Found) -> Result<(Found, Verdict), StoreError> {
        let verdict = match &found {
            Found::Single(area, whose, object) if orders.sweeps(*area, object) => {
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
                // Gone since it was listed.
                None => return Ok(Verdict::Keep),
            }
        } else {
            None
        };
        let verdict = orders.judge(dir, tags.as_ref(), need);
        // A listing may be behind the bucket; a manifest that is there makes a backup of what it left out.
        if verdict == Verdict::Clear && self.head_opt(&dir.manifest()).await?.is_some() {
            return Ok(Verdict::Keep);
        }
        Ok(verdict)
    }

    /// Lets go of a directory whose manifest need not be readable, manifest first.
    async fn release_dir(&self, dir: &BackupDir) -> Result<(), StoreError> {
        let (manifest, rest) = dir.deletion();
        if dir.area == Area::Held {
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
            // The backups matter more than a right that older policies lack.
            Err(error @ (StoreError::AccessDenied { .. } | StoreError::Refused { .. })) => {
                tally.uploads_refused = Some(error.to_string());
                return Ok(());
            }
            other => other?,
        };
        for upload in uploads {
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
