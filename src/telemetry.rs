//! How the operator tells what it does: log lines and metrics. No rule of the business, no object names as labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for pods: object references are fields.
    Json,
    /// For people at a shell.
    Plain,
}

/// Starts logging to standard error; `RUST_LOG` filters (default `info`). A second call does nothing.
pub fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Plain => lines.with_target(false).try_init(),
    };
    // Only a test harness that has set its own subscriber gets here.
    drop(started);
}

/// A metric as docs/metrics.md lists it.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Name as scraped.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static str,
    /// What it counts.
    pub help: &'static str,
}

macro_rules! described {
    ($($name:literal $kind:ident [$labels:literal] $help:literal;)*) => {
        &[$(Described { name: $name, kind: stringify!($kind), labels: $labels, help: $help }),*]
    };
}

/// Every metric there is; `Metrics::new` registers these and docs/metrics.md lists them.
pub const CATALOGUE: &[Described] = described! {
    "sennight_reconcile_total" counter ["kind, outcome, reason"]
        "Reconciles by kind, outcome (Applied, Failed, Waiting) and, for failures, reason";
    "sennight_reconcile_duration_seconds" histogram ["kind"] "Time a reconcile took";
    "sennight_backups_total" counter ["outcome, reason"]
        "Dumps that ended, by outcome (Succeeded, Failed) and, for failures, reason";
    "sennight_restores_total" counter ["mode, outcome, reason"]
        "RestoreRequests that ended, by mode, outcome (Complete, Failed, Denied, Expired, NeedsAttention) and reason";
    "sennight_reminders_total" counter ["waiting_on"] "Reminders that a RestoreRequest's deadline is near, by who is waited for";
    "sennight_drills_total" counter ["outcome, reason"]
        "Restore drills that ended, by outcome (Succeeded, Failed, Interrupted) and, unless they succeeded, reason";
    "sennight_drills_failing" gauge [""] "Tenants whose last restore drill failed, as far as DatabaseServers remember";
    "sennight_drills_stalled" gauge [""] "DatabaseServers whose restore drills do not keep up, or have no place to run";
    "sennight_drills_oldest_proof_seconds" gauge [""]
        "Age of the oldest last proof of a tenant, over the DatabaseServers that have drills; 0 where none has";
    "sennight_refunds_due" gauge [""] "Ended RestoreRequests that were paid, brought nothing, and have no refund recorded";
    "sennight_schedules" gauge ["fresh"] "BackupSchedules by their condition Fresh (True, False, Unknown)";
    "sennight_schedules_failing" gauge [""] "BackupSchedules whose last run failed";
    "sennight_schedules_by_copy_age" gauge ["age"]
        "BackupSchedules that are not suspended, by the age of the newest copy: at most so much and more than the next smaller (6h, 12h, 24h, 26h, 48h, 168h, older, none)";
    "sennight_oldest_copy_age_seconds" gauge [""] "Age of the newest copy of the tenant whose newest copy is the oldest";
    "sennight_slots_due" gauge [""] "Slots that have come and whose dump has not ended";
    "sennight_slot_lag_seconds" gauge [""] "How long ago the first of these slots was";
    "sennight_schedules_suspicious" gauge [""] "BackupSchedules whose newest copy is suspiciously small";
    "sennight_overdue" gauge ["what"]
        "What the last patrols found and should be gone: copies (copy), holds (hold), unfinished uploads (upload)";
    "sennight_stored_bytes" gauge [""] "Bytes of all copies that BackupSchedules list";
    "sennight_dumps_waiting" gauge [""] "Dumps that are due and have no Job yet";
    "sennight_dumps_running" gauge [""] "Places of running dump Jobs: dumps that may run at once";
    "sennight_dumps_limit" gauge [""] "Dumps that may run at once, over all servers (--max-dumps)";
    "sennight_restores_waiting" gauge [""] "Approved and paid RestoreRequests that wait for their turn";
    "sennight_restores_running" gauge [""] "RestoreRequests with a running Job";
    "sennight_storage_ready" gauge ["ready"] "BackupStorages by their condition Ready (True, False)";
    "sennight_authority_intact" gauge [""] "1 while the admission policies were last found intact, else 0: no restore runs";
    "sennight_leader" gauge [""] "1 in the process that leads, else 0";
};

/// Labels of `sennight_reconcile_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// `Applied`, `Waiting` or `Failed`.
    pub outcome: &'static str,
    /// Reason of a failure, else empty.
    pub reason: &'static str,
}

/// The label `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// Kind of the object.
    pub kind: &'static str,
}

/// Labels of `sennight_backups_total` and `sennight_drills_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackupLabels {
    /// `Succeeded` or `Failed`.
    pub outcome: &'static str,
    /// Reason of a failure, else empty.
    pub reason: String,
}

/// Labels of `sennight_restores_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RestoreLabels {
    /// `CrmExport`, `FullRestore` or `Undo`.
    pub mode: &'static str,
    /// How the request ended.
    pub outcome: &'static str,
    /// Reason of a failure, else empty.
    pub reason: String,
}

/// The label `waiting_on`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReminderLabels {
    /// `Helpdesk` or `Billing`.
    pub waiting_on: &'static str,
}

/// The label `fresh`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FreshLabel {
    /// Status of the condition Fresh.
    pub fresh: &'static str,
}

/// The label `age`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AgeLabel {
    /// Upper end of the age, or `older`, or `none`.
    pub age: &'static str,
}

/// The label `what`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OverdueLabel {
    /// `copy`, `hold` or `upload`.
    pub what: &'static str,
}

/// The label `ready`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReadyLabel {
    /// Status of the condition Ready.
    pub ready: &'static str,
}

/// The operator's metrics; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `sennight_reconcile_total`
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// `sennight_reconcile_duration_seconds`
    pub reconcile_seconds: Family<KindLabel, Histogram, fn() -> Histogram>,
    backups: Family<BackupLabels, Counter>,
    restores: Family<RestoreLabels, Counter>,
    reminders: Family<ReminderLabels, Counter>,
    drills: Family<BackupLabels, Counter>,
    /// `sennight_drills_failing`
    pub drills_failing: Gauge,
    /// `sennight_drills_stalled`
    pub drills_stalled: Gauge,
    /// `sennight_drills_oldest_proof_seconds`
    pub oldest_proof: Gauge,
    /// `sennight_refunds_due`
    pub refunds_due: Gauge,
    /// `sennight_schedules`
    pub schedules: Family<FreshLabel, Gauge>,
    /// `sennight_schedules_failing`
    pub failing: Gauge,
    /// `sennight_schedules_by_copy_age`
    pub copy_ages: Family<AgeLabel, Gauge>,
    /// `sennight_oldest_copy_age_seconds`
    pub oldest_copy: Gauge,
    /// `sennight_slots_due`
    pub slots_due: Gauge,
    /// `sennight_slot_lag_seconds`
    pub slot_lag: Gauge,
    /// `sennight_schedules_suspicious`
    pub suspicious: Gauge,
    /// `sennight_overdue`
    pub overdue: Family<OverdueLabel, Gauge>,
    /// `sennight_stored_bytes`
    pub stored_bytes: Gauge,
    /// `sennight_dumps_waiting`
    pub dumps_waiting: Gauge,
    /// `sennight_dumps_running`
    pub dumps_running: Gauge,
    /// `sennight_dumps_limit`
    pub dumps_limit: Gauge,
    /// `sennight_restores_waiting`
    pub restores_waiting: Gauge,
    /// `sennight_restores_running`
    pub restores_running: Gauge,
    /// `sennight_storage_ready`
    pub storages: Family<ReadyLabel, Gauge>,
    /// `sennight_authority_intact`
    pub authority_intact: Gauge,
    /// `sennight_leader`
    pub leader: Gauge,
    reasons: Arc<Mutex<BTreeSet<String>>>,
}

/// Distinct reasons that workers may bring; more become `Other`, so that no bucket content can grow the label set.
const MOST_REASONS: usize = 100;

impl Metrics {
    /// The metrics, and the registry that a scrape encodes.
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 4.0, 8))),
            backups: Family::default(),
            restores: Family::default(),
            reminders: Family::default(),
            drills: Family::default(),
            drills_failing: Gauge::default(),
            drills_stalled: Gauge::default(),
            oldest_proof: Gauge::default(),
            refunds_due: Gauge::default(),
            schedules: Family::default(),
            failing: Gauge::default(),
            copy_ages: Family::default(),
            oldest_copy: Gauge::default(),
            slots_due: Gauge::default(),
            slot_lag: Gauge::default(),
            suspicious: Gauge::default(),
            overdue: Family::default(),
            stored_bytes: Gauge::default(),
            dumps_waiting: Gauge::default(),
            dumps_running: Gauge::default(),
            dumps_limit: Gauge::default(),
            restores_waiting: Gauge::default(),
            restores_running: Gauge::default(),
            storages: Family::default(),
            authority_intact: Gauge::default(),
            leader: Gauge::default(),
            reasons: Arc::default(),
        };
        let registry = metrics.register();
        (metrics, registry)
    }

    fn register(&self) -> Registry {
        let mut registry = Registry::default();
        let mut add = |name: &'static str, metric: Register| {
            let help = CATALOGUE.iter().find(|d| d.name == name).map_or("", |d| d.help);
            // The encoder appends `_total` to counters itself.
            metric(&mut registry, name.strip_suffix("_total").unwrap_or(name), help);
        };
        add("sennight_reconcile_total", registered(&self.reconciles));
        add("sennight_reconcile_duration_seconds", registered(&self.reconcile_seconds));
        add("sennight_backups_total", registered(&self.backups));
        add("sennight_restores_total", registered(&self.restores));
        add("sennight_reminders_total", registered(&self.reminders));
        add("sennight_drills_total", registered(&self.drills));
        add("sennight_drills_failing", registered(&self.drills_failing));
        add("sennight_drills_stalled", registered(&self.drills_stalled));
        add("sennight_drills_oldest_proof_seconds", registered(&self.oldest_proof));
        add("sennight_refunds_due", registered(&self.refunds_due));
        add("sennight_schedules", registered(&self.schedules));
        add("sennight_schedules_failing", registered(&self.failing));
        add("sennight_schedules_by_copy_age", registered(&self.copy_ages));
        add("sennight_oldest_copy_age_seconds", registered(&self.oldest_copy));
        add("sennight_slots_due", registered(&self.slots_due));
        add("sennight_slot_lag_seconds", registered(&self.slot_lag));
        add("sennight_schedules_suspicious", registered(&self.suspicious));
        add("sennight_overdue", registered(&self.overdue));
        add("sennight_stored_bytes", registered(&self.stored_bytes));
        add("sennight_dumps_waiting", registered(&self.dumps_waiting));
        add("sennight_dumps_running", registered(&self.dumps_running));
        add("sennight_dumps_limit", registered(&self.dumps_limit));
        add("sennight_restores_waiting", registered(&self.restores_waiting));
        add("sennight_restores_running", registered(&self.restores_running));
        add("sennight_storage_ready", registered(&self.storages));
        add("sennight_authority_intact", registered(&self.authority_intact));
        add("sennight_leader", registered(&self.leader));
        registry
    }

    /// Counts a dump that ended: `None` succeeded, `Some(reason)` failed.
    pub fn backup_ended(&self, failure: Option<&str>) {
        let outcome = if failure.is_some() { "Failed" } else { "Succeeded" };
        self.backups.get_or_create(&BackupLabels { outcome, reason: self.reason(failure) }).inc();
    }

    /// Counts a restore drill that ended; `None` found nothing out about the copy.
    pub fn drill_ended(&self, proven: Option<bool>, reason: Option<&str>) {
        let outcome = proven.map_or("Interrupted", |proven| if proven { "Succeeded" } else { "Failed" });
        self.drills.get_or_create(&BackupLabels { outcome, reason: self.reason(reason) }).inc();
    }

    /// Counts a RestoreRequest that ended.
    pub fn restore_ended(&self, mode: &'static str, outcome: &'static str, failure: Option<&str>) {
        let labels = RestoreLabels { mode, outcome, reason: self.reason(failure) };
        self.restores.get_or_create(&labels).inc();
    }

    /// Counts a reminder.
    pub fn reminded(&self, waiting_on: &'static str) {
        self.reminders.get_or_create(&ReminderLabels { waiting_on }).inc();
    }

    /// A reason that came from outside this process, as a label of bounded kind and number.
    fn reason(&self, reason: Option<&str>) -> String {
        let Some(reason) = reason else {
            return String::new();
        };
        let camel = reason.starts_with(|c: char| c.is_ascii_uppercase())
            && reason.len() <= 64
            && reason.bytes().all(|b| b.is_ascii_alphanumeric());
        let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if camel && (known.contains(reason) || known.len() < MOST_REASONS) {
            known.insert(reason.to_owned());
            reason.to_owned()
        } else {
            "Other".to_owned()
        }
    }
}

type Register = Box<dyn FnOnce(&mut Registry, &str, &str)>;

fn registered<M: Metric + Clone>(metric: &M) -> Register {
    let metric = metric.clone();
    Box::new(move |registry, name, help| registry.register(name, help, metric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode_registry;

    fn scrape(registry: &Registry) -> String {
        let mut text = String::new();
        encode_registry(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn the_catalogue_is_what_a_scrape_shows_and_what_the_page_lists() {
        let (metrics, registry) = Metrics::new();
        metrics.backup_ended(None);
        metrics.restore_ended("CrmExport", "Complete", None);
        metrics.reminded("Helpdesk");
        metrics.drill_ended(Some(true), None);
        metrics.reconciles.get_or_create(&ReconcileLabels { kind: "X", outcome: "Applied", reason: "" }).inc();
        metrics.reconcile_seconds.get_or_create(&KindLabel { kind: "X" }).observe(0.1);
        metrics.schedules.get_or_create(&FreshLabel { fresh: "True" }).set(1);
        metrics.storages.get_or_create(&ReadyLabel { ready: "True" }).set(1);
        metrics.copy_ages.get_or_create(&AgeLabel { age: "6h" }).set(1);
        metrics.overdue.get_or_create(&OverdueLabel { what: "copy" }).set(1);
        let text = scrape(&registry);
        let page = include_str!("../docs/metrics.md");
        for metric in CATALOGUE {
            let family = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            assert!(text.contains(&format!("# TYPE {family} {}\n", metric.kind)), "{family}\n{text}");
            assert!(text.contains(&format!("# HELP {family} {}", metric.help)), "{family}\n{text}");
            assert!(text.contains(&format!("\n{}", metric.name)), "{}\n{text}", metric.name);
            let row = format!("| `{}` | {} | {} | {} |", metric.name, metric.kind, metric.labels, metric.help);
            assert!(page.contains(&row), "docs/metrics.md lacks\n{row}");
        }
        assert_eq!(text.matches("# TYPE ").count(), CATALOGUE.len());
        assert_eq!(page.matches("\n| `sennight_").count(), CATALOGUE.len());
    }

    #[test]
    fn reasons_from_a_bucket_cannot_grow_the_label_set() {
        let (metrics, registry) = Metrics::new();
        metrics.backup_ended(Some("evil{} reason\n"));
        for n in 0..500 {
            metrics.backup_ended(Some(&format!("Reason{n}")));
        }
        let text = scrape(&registry);
        assert_eq!(text.matches("sennight_backups_total{").count(), MOST_REASONS + 1);
        assert!(text.contains("reason=\"Other\"} 401"));
        assert!(!text.contains("evil"));
    }
}
