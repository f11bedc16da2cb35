//! `export`: reads the few tables that a profile needs out of a backup, by ranges, and streams the zip of CSV files into the
//! bucket. It never sees a database.
//!
//! The same backup, profile and version give the same bytes. So a repeated attempt that finds the object there compares: an
//! equal object is adopted; another one stays, and this attempt's goes beside it under a name that ends in its SHA-256.

use super::export_error::ExportTaskError;
use super::frames::table_frames;
use super::live_ids::read_list as read_live_ids;
use super::{TaskError, WorkerContext};
use bytes::Bytes;
use chrono::Utc;
use futures::StreamExt;
use sennight_core::manifest::Manifest;
use sennight_core::profile::ExportProfile;
use sennight_core::result::{Done, ExportFile, ExportSummary};
use sennight_export::{Comparison, ExportContext, ExportError, ExportPlan, Exporter, Live, Outlet};
use sennight_protocol::export::{ExportTask, LiveAnswer};
use sennight_storage::{ClaimRecord, Claimed, OpenBackup, Store, StoreError, Tags, Upload};
use sha2::{Digest, Sha256};

/// One request reads at most this much of an object that is compared.
const RANGE: i64 = 8 << 20;
/// The compressed set of what is missing is in memory up to this size, then in a file in the pod's scratch.
const ASIDE: usize = 16 << 20;

/// Exports one backup.
pub async fn run(task: &ExportTask, context: &WorkerContext) -> Result<Done, TaskError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        exported = export(task, context) => Ok(Done::Exported(exported?)),
    }
}

async fn export(task: &ExportTask, context: &WorkerContext) -> Result<ExportSummary, ExportTaskError> {
    let store = &context.store;
    let open = store.open(&task.backup, Some(&task.identity)).await?;
    let profile: ExportProfile = serde_json::from_value(task.profile.clone())?;
    let plan = ExportPlan::compile(&profile, &open.manifest)?;
    let twice: Vec<&str> = plan.read_twice().iter().map(|at| open.manifest.tables[*at].name.as_str()).collect();
    if !twice.is_empty() {
        tracing::warn!(?twice, "tables are read twice: lookups need them before their entity's turn in the profile");
    }
    let about = about(task, &open, &plan);
    let prefix = store.keys().export(&task.identity.namespace, &task.request_uid)?;
    let (key, stem) = (format!("{prefix}{}", about.file_name()), about.stem());
    claim(task, context).await?;
    let work = Work { open: &open, plan, about, live: task.live.as_ref(), context };
    let written = write(&work, &key).await?;
    if written.stored || same_object(store, &key, &written).await? {
        return Ok(written.summary(key));
    }
    let other = format!("{prefix}{stem}-{}.zip", &written.sha256[..12]);
    tracing::warn!(key, other, "an object with other bytes is there already; this export goes beside it");
    let again = write(&work, &other).await?;
    if again.stored || same_object(store, &other, &again).await? {
        return Ok(again.summary(other));
    }
    Err(ExportTaskError::Export(ExportError::OutOfOrder("the same backup gave two different exports")))
}

/// Says in the bucket that this request's export has begun: a cluster that is set back later finds it there and does not
/// begin again. Another attempt's claim is no obstacle: all write the same bytes, and the bucket takes them once.
async fn claim(task: &ExportTask, context: &WorkerContext) -> Result<(), StoreError> {
    if !context.store.capabilities().conditional_put {
        tracing::warn!("the store knows no conditional puts: nothing outside the cluster says that this export began");
        return Ok(());
    }
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    match context.store.claim(&task.request_uid, &claim).await? {
        Claimed::Won | Claimed::Mine(_) => {}
        Claimed::Held(holder) => {
            tracing::info!(pod = holder.pod, job = holder.job_uid, "an earlier attempt began this export");
        }
    }
    Ok(())
}

fn about(task: &ExportTask, open: &OpenBackup, plan: &ExportPlan) -> ExportContext {
    let manifest = &open.manifest;
    let missing_only = match &task.live {
        _ if !plan.missing_only() => Comparison::NotAsked,
        Some(LiveAnswer::Listed(list)) => Comparison::Compared { at: list.at },
        Some(LiveAnswer::Unreachable { why }) => Comparison::Unreachable { why: why.clone() },
        None => Comparison::Unreachable { why: "nobody asked the live database".to_owned() },
    };
    ExportContext {
        identity: manifest.identity.clone(),
        request: task.request.clone(),
        request_uid: task.request_uid.clone(),
        backup: manifest.id.clone(),
        manifest_sha256: open.backup.manifest_sha256.clone().unwrap_or_default(),
        day: manifest.day,
        snapshot_time: manifest.snapshot_time,
        time_zone: manifest.time_zone.clone(),
        missing_only,
    }
}

/// What an attempt is made of; a second one, beside another's object, is made of the same.
struct Work<'a> {
    open: &'a OpenBackup,
    plan: ExportPlan,
    about: ExportContext,
    live: Option<&'a LiveAnswer>,
    context: &'a WorkerContext,
}

/// A zip that was made, and whether the bucket took it.
struct Written {
    stored: bool,
    bytes: i64,
    sha256: String,
    files: Vec<ExportFile>,
}

impl Written {
    fn summary(self, key: String) -> ExportSummary {
        ExportSummary { key, bytes: self.bytes, sha256: self.sha256, files: self.files }
    }
}

/// Makes the zip and streams it to `key`, where nothing may be yet.
async fn write(work: &Work<'_>, key: &str) -> Result<Written, ExportTaskError> {
    let upload = work.context.store.upload(key, Tags::new()).content_type("application/zip");
    let mut sink = Sink { upload, hash: Sha256::new() };
    match Box::pin(fill(work, &mut sink)).await {
        Ok(files) => {
            let (bytes, sha256) = (sink.upload.length(), hex::encode(sink.hash.finalize()));
            let stored = match sink.upload.finish().await {
                Ok(_) => true,
                Err(StoreError::AlreadyExists { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            Ok(Written { stored, bytes, sha256, files })
        }
        Err(error) => {
            sink.upload.abort().await;
            Err(error)
        }
    }
}

struct Sink {
    upload: Upload,
    hash: Sha256,
}

impl Sink {
    async fn drain(&mut self, outlet: &Outlet) -> Result<(), StoreError> {
        let bytes = Bytes::from(outlet.take());
        self.hash.update(&bytes);
        self.upload.write(bytes).await
    }
}

async fn fill(work: &Work<'_>, sink: &mut Sink) -> Result<Vec<ExportFile>, ExportTaskError> {
    let Work { open, context, .. } = work;
    let manifest = &open.manifest;
    let live = match work.live {
        Some(LiveAnswer::Listed(list)) if work.plan.missing_only() => {
            let ids = read_live_ids(list, &context.store).await?;
            Some(Live { ids, deferred: Box::new(tempfile::spooled_tempfile(ASIDE)) })
        }
        _ => None,
    };
    let (mut exporter, outlet) = Exporter::new(work.plan.clone(), manifest, work.about.clone(), live)?;
    let steps = exporter.steps();
    context.progress.expect(steps.iter().map(|step| raw_length(manifest, step.table())).sum());
    for step in steps {
        exporter.begin(step)?;
        let mut frames = table_frames(&context.store, &open.backup.prefix, &manifest.tables[step.table()]);
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            let length = i64::try_from(frame.len()).unwrap_or(i64::MAX);
            // Decoding and deflating are CPU's work: off the threads that talk to the bucket.
            let (used, pushed) = tokio::task::spawn_blocking(move || {
                let pushed = exporter.push(&frame);
                (exporter, pushed)
            })
            .await?;
            exporter = used;
            pushed?;
            context.progress.add(length, 0);
            sink.drain(&outlet).await?;
        }
        exporter.end()?;
        context.progress.tables(1);
    }
    // What was set aside is appended: as many bytes as the set has, so not on the threads that talk to the bucket either.
    let files = tokio::task::spawn_blocking(move || exporter.finish()).await??;
    sink.drain(&outlet).await?;
    Ok(files)
}

fn raw_length(manifest: &Manifest, table: usize) -> i64 {
    manifest.tables[table].frames.iter().map(|frame| frame.raw_length).sum()
}

/// Whether the object that is there already has the bytes that were to be written.
async fn same_object(store: &Store, key: &str, written: &Written) -> Result<bool, StoreError> {
    if store.head(key).await?.length != written.bytes {
        return Ok(false);
    }
    let (mut hash, mut done) = (Sha256::new(), 0);
    while done < written.bytes {
        let piece = RANGE.min(written.bytes - done);
        hash.update(store.get_range(key, done, piece).await?);
        done += piece;
    }
    Ok(hex::encode(hash.finalize()) == written.sha256)
}
