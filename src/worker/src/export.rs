//! `export`: reads the tables that a profile needs from a backup and uploads the zip of CSV files. It never sees a database.
//! The same backup, profile and version give the same bytes: a repeated attempt adopts an equal object. If another object
//! has the key, that one stays, and this export is written beside it under a name that ends in its SHA-256.

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

/// Most bytes of an existing object that one request reads for the comparison.
const RANGE: i64 = 8 << 20;
/// The compressed missing-only set is in memory up to this many bytes, then in a temporary file.
const DEFERRED_IN_MEMORY: usize = 16 << 20;

/// Exports one backup by one profile.
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
    let work = ExportJob { open: &open, plan, about, live: task.live.as_ref(), context };
    let written = write(&work, &key).await?;
    if written.stored || same_object(store, &key, &written).await? {
        return Ok(written.summary(key));
    }
    let other = format!("{prefix}{stem}-{}.zip", &written.sha256[..12]);
    tracing::warn!(key, other, "another object exists under the key; this export is written beside it");
    let again = write(&work, &other).await?;
    if again.stored || same_object(store, &other, &again).await? {
        return Ok(again.summary(other));
    }
    Err(ExportTaskError::Export(ExportError::OutOfOrder("the same backup gave two different exports")))
}

/// Records in the bucket that this request's export has begun. If the cluster is restored from an older state later, it finds
/// the claim and does not begin again. Another attempt's claim is no obstacle: all write the same bytes, and only one object
/// is created.
async fn claim(task: &ExportTask, context: &WorkerContext) -> Result<(), StoreError> {
    if !context.store.capabilities().conditional_put {
        tracing::warn!("export not claimed: the store has no conditional puts");
        return Ok(());
    }
    let claim = ClaimRecord { job_uid: context.job_uid.clone(), pod: context.pod.clone(), at: Utc::now() };
    match context.store.claim(&task.request_uid, &claim).await? {
        Claimed::Won | Claimed::Mine(_) => {}
        Claimed::Held(holder) => {
            tracing::info!(pod = holder.pod, job = holder.job_uid, "export claimed by an earlier attempt");
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

/// Everything that one export needs. Used twice if the first object had to be written beside another one.
struct ExportJob<'a> {
    open: &'a OpenBackup,
    plan: ExportPlan,
    about: ExportContext,
    live: Option<&'a LiveAnswer>,
    context: &'a WorkerContext,
}

/// A zip that was generated, and whether the bucket accepted it.
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

/// Generates the zip and uploads it to `key`. An object that exists there is not overwritten.
async fn write(work: &ExportJob<'_>, key: &str) -> Result<Written, ExportTaskError> {
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
    async fn send(&mut self, outlet: &Outlet) -> Result<(), StoreError> {
        let bytes = Bytes::from(outlet.take());
        self.hash.update(&bytes);
        self.upload.write(bytes).await
    }
}

async fn fill(work: &ExportJob<'_>, sink: &mut Sink) -> Result<Vec<ExportFile>, ExportTaskError> {
    let ExportJob { open, context, .. } = work;
    let manifest = &open.manifest;
    let live = match work.live {
        Some(LiveAnswer::Listed(list)) if work.plan.missing_only() => {
            let ids = read_live_ids(list, &context.store).await?;
            Some(Live { ids, deferred: Box::new(tempfile::spooled_tempfile(DEFERRED_IN_MEMORY)) })
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
            // Decoding and deflating take CPU time: not on the threads that serve connections.
            let (used, pushed) = tokio::task::spawn_blocking(move || {
                let pushed = exporter.push(&frame);
                (exporter, pushed)
            })
            .await?;
            exporter = used;
            pushed?;
            context.progress.add(length, 0);
            sink.send(&outlet).await?;
        }
        exporter.end()?;
        context.progress.tables(1);
    }
    // Appends the missing-only set, which may be large: not on the threads that serve connections either.
    let files = tokio::task::spawn_blocking(move || exporter.finish()).await??;
    sink.send(&outlet).await?;
    Ok(files)
}

fn raw_length(manifest: &Manifest, table: usize) -> i64 {
    manifest.tables[table].frames.iter().map(|frame| frame.raw_length).sum()
}

/// Whether the existing object has the bytes that were to be written.
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
