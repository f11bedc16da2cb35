//! Mutants of real backups: whatever somebody, or a disk, does to a backup's objects, `verify` finds it, and restore and
//! export refuse it before they have any effect. What nobody can find without a key, the MAC or the pinned SHA-256 finds.

mod backups;
mod mutate;
mod mutate_frames;

use backups::{Base, Stage};
use mutate::{Class, Mutant};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sennight_protocol::backup::{BackupRef, VerifyTask};
use sennight_protocol::export::ExportTask;
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::target::DatabaseTarget;
use sennight_storage::Store;
use sennight_worker::{TaskError, Verdict, prepare, verify};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use strum::IntoEnumIterator;
use testkit::{context, unique};

const WHOLE: usize = 1000;
/// Buckets in which mutants live side by side.
const RUNNERS: usize = 3;
/// What one bomb wants. Alone these tests take an eighth of it (docs/measurements.md), but other suites share the process.
const MEMORY_KIB: usize = 2 << 20;

/// Nobody listens here: a restore of a mutant that touched the server would fail with another verdict.
const NOWHERE: u16 = 1;

/// What became of the mutants of a class.
#[derive(Default)]
struct Tally {
    mutants: usize,
    verify: usize,
    prepare: usize,
    export_refused: usize,
    export_same: usize,
    unseen_without_key_or_pin: usize,
    reasons: BTreeSet<String>,
    survivors: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i4_no_mutant_of_a_backup_passes_verify_restore_or_export() {
    let (cases, seed) = (crate::cases("mutants", WHOLE), crate::seed("mutants"));
    let bases = Arc::new(backups::bases().await);
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let runners = (0..RUNNERS).map(|_| tokio::spawn(runner(cases, seed, bases.clone(), next.clone())));
    let runners: Vec<_> = futures::future::join_all(runners).await.into_iter().map(Result::unwrap).collect();
    let tallies = merge(runners);
    report(&tallies, seed, started);
    let survivors: Vec<&String> = tallies.values().flat_map(|tally| &tally.survivors).collect();
    assert!(survivors.is_empty(), "seed {seed}: {survivors:#?}");
    let mutants: usize = tallies.values().map(|tally| tally.mutants).sum();
    assert_eq!(mutants, cases);
    assert!(cases < Class::iter().count() || tallies.len() == Class::iter().count(), "every class was tried");
    let peak = peak_memory_kib();
    println!("mutants: peak memory of the whole test {} MiB", peak / 1024);
    assert!(peak < MEMORY_KIB, "{peak} KiB: something was blown up");
}

/// One case after the other, in a bucket of its own.
async fn runner(cases: usize, seed: u64, bases: Arc<Vec<Base>>, next: Arc<AtomicUsize>) -> BTreeMap<Class, Tally> {
    let stage = Stage::new(&bases).await;
    let mut tallies = BTreeMap::new();
    loop {
        let case = next.fetch_add(1, Ordering::Relaxed);
        if case >= cases {
            return tallies;
        }
        one(case, seed, &bases, &stage, &mut tallies).await;
    }
}

/// Makes the mutant, holds it against everybody who reads backups, and puts the backup back.
async fn one(case: usize, seed: u64, bases: &[Base], stage: &Stage, tallies: &mut BTreeMap<Class, Tally>) {
    let mut rng = StdRng::seed_from_u64(seed ^ (case as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let classes: Vec<Class> = Class::iter().collect();
    let class = classes[case % classes.len()];
    // The large one takes longest.
    let at = if rng.random_range(0..16) == 0 { bases.len() - 1 } else { rng.random_range(0..bases.len() - 1) };
    let (base, other) = (&bases[at], &bases[(at + 1) % (bases.len() - 1)]);
    let Mutant { what, changes } = mutate::mutate(class, base, other, &mut rng);
    for (name, bytes) in &changes {
        stage.put(base, name, bytes.clone()).await;
    }
    let tally = tallies.entry(class).or_default();
    tally.mutants += 1;
    let escaped = judge(class, base, stage, tally).await;
    for (name, _) in &changes {
        stage.put(base, name, base.objects.get(name).cloned()).await;
    }
    if !escaped.is_empty() {
        tally.survivors.push(format!("case {case}, {class}, {}: {what}: {}", base.name, escaped.join("; ")));
    }
}

/// Who was deceived.
async fn judge(class: Class, base: &Base, stage: &Stage, tally: &mut Tally) -> Vec<String> {
    let mut escaped = Vec::new();
    let anybody = BackupRef { manifest_sha256: None, ..base.backup.clone() };
    // Everybody finds damage. A forger who makes all digests anew is found by the key, and by whoever pinned the backup.
    let readers: &[(&str, &Store, &BackupRef)] = if class.is_forgery() {
        if refusal(verified(&stage.plain, &anybody).await).is_err() {
            tally.unseen_without_key_or_pin += 1;
        }
        &[("with the key", &stage.keyed, &anybody), ("pinned", &stage.plain, &base.backup)]
    } else {
        &[("anybody", &stage.plain, &anybody), ("with the key", &stage.keyed, &anybody)]
    };
    let mut found = (true, true);
    for (who, store, backup) in readers {
        match refusal(verified(store, backup).await) {
            Ok(reason) => drop(tally.reasons.insert(reason)),
            Err(how) => {
                found.0 = false;
                escaped.push(format!("verify, {who}: {how}"));
            }
        }
        match refusal(prepared(base, store, backup, NOWHERE).await) {
            Ok(reason) => drop(tally.reasons.insert(reason)),
            Err(how) => {
                found.1 = false;
                escaped.push(format!("prepare, {who}: {how}"));
            }
        }
        // An export is never made but for a request, which has pinned its backup.
        match stage.exported(&export_task(base, &base.backup), store).await {
            Ok(sha256) if sha256 == base.export => tally.export_same += 1,
            Ok(_) => escaped.push(format!("export, {who}: other bytes than the backup's")),
            Err(error) => match refusal::<()>(Err(error)) {
                Ok(_) if stage.exports().await == 0 => tally.export_refused += 1,
                Ok(_) => escaped.push(format!("export, {who}: refused, and something is left in the bucket")),
                Err(how) => escaped.push(format!("export, {who}: {how}")),
            },
        }
    }
    tally.verify += usize::from(found.0);
    tally.prepare += usize::from(found.1);
    escaped
}

/// The reason of a refusal for good. Anything else lets the mutant live: success, and "try again".
fn refusal<T>(result: Result<T, TaskError>) -> Result<String, String> {
    match result {
        Err(error) if error.verdict == Verdict::Refused => Ok(error.reason),
        Err(error) => Err(format!("{:?}: {error}", error.verdict)),
        Ok(_) => Err("passed".to_owned()),
    }
}

async fn verified(store: &Store, backup: &BackupRef) -> Result<(), TaskError> {
    let task = VerifyTask { name: "verify".to_owned(), backup: backup.clone() };
    verify::run(&task, &context(store)).await.map(|_| ())
}

/// With the server at `port`.
async fn prepared(base: &Base, store: &Store, backup: &BackupRef, port: u16) -> Result<(), TaskError> {
    let task = RestoreTask {
        name: "prepare".to_owned(),
        request_uid: backups::UID.to_owned(),
        identity: base.identity.clone(),
        backup: backup.clone(),
        database: DatabaseTarget { port, ..base.database.target.clone() },
        parallelism: 1,
        headroom_bytes: None,
        allow_shared_owners: true,
        hooks_dir: None,
    };
    prepare::run(&task, &context(store)).await.map(|_| ())
}

fn export_task(base: &Base, backup: &BackupRef) -> ExportTask {
    ExportTask {
        name: "export".to_owned(),
        request_uid: backups::UID.to_owned(),
        request: "mutant".to_owned(),
        identity: base.identity.clone(),
        backup: backup.clone(),
        profile: backups::profile(),
        live: None,
    }
}

fn merge(runners: Vec<BTreeMap<Class, Tally>>) -> BTreeMap<Class, Tally> {
    let mut all: BTreeMap<Class, Tally> = BTreeMap::new();
    for (class, tally) in runners.into_iter().flatten() {
        let sum = all.entry(class).or_default();
        sum.mutants += tally.mutants;
        sum.verify += tally.verify;
        sum.prepare += tally.prepare;
        sum.export_refused += tally.export_refused;
        sum.export_same += tally.export_same;
        sum.unseen_without_key_or_pin += tally.unseen_without_key_or_pin;
        sum.reasons.extend(tally.reasons);
        sum.survivors.extend(tally.survivors);
    }
    all
}

/// Exports are tried by two readers each: one that reads none of the bytes that changed gives the same file as before.
fn report(tallies: &BTreeMap<Class, Tally>, seed: u64, started: Instant) {
    println!(
        "{:<22} {:>7} {:>7} {:>8} {:>14} {:>12} {:>10} {:>10}  REASONS",
        "CLASS", "MUTANTS", "VERIFY", "PREPARE", "EXPORT REFUSED", "EXPORT SAME", "UNSEEN *", "SURVIVORS"
    );
    for (class, tally) in tallies {
        let reasons: Vec<&str> = tally.reasons.iter().map(String::as_str).collect();
        println!(
            "{:<22} {:>7} {:>7} {:>8} {:>14} {:>12} {:>10} {:>10}  {}",
            class.to_string(),
            tally.mutants,
            tally.verify,
            tally.prepare,
            tally.export_refused,
            tally.export_same,
            if class.is_forgery() { tally.unseen_without_key_or_pin.to_string() } else { "-".to_owned() },
            tally.survivors.len(),
            reasons.join(" ")
        );
    }
    println!("* by a verify without a key and without a pinned SHA-256: what the MAC is for");
    println!("mutants: seed {seed}, {} s", started.elapsed().as_secs());
}

fn peak_memory_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_backup_that_nobody_touched_passes() {
    let bases = backups::small_base(&unique("clean_")).await;
    let stage = Stage::new(std::slice::from_ref(&bases)).await;
    for store in [&stage.plain, &stage.keyed] {
        verified(store, &bases.backup).await.unwrap();
        assert_eq!(stage.exported(&export_task(&bases, &bases.backup), store).await.unwrap(), bases.export);
    }
    let unreachable = prepared(&bases, &stage.keyed, &bases.backup, NOWHERE).await.unwrap_err();
    assert_eq!(unreachable.verdict, Verdict::Retry, "{unreachable}: a restore that gets as far as the server shows it");
    prepared(&bases, &stage.keyed, &bases.backup, bases.database.target.port).await.unwrap();
}
