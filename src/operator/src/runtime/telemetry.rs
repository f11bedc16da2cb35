//! The operator's metrics. One row of [`metrics!`] is one metric: its field, its registration and its row in
//! docs/metrics.md. No label holds the name of an object.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A metric as docs/metrics.md lists it.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Name as scraped, with the suffix `_total` of a counter.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts; the HELP line of a scrape.
    pub help: &'static str,
}

/// Declares label sets. `NAMES` lists the labels for docs/metrics.md.
macro_rules! label_sets {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Names of the labels.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    )*};
}

label_sets! {
    /// Labels of `sennight_reconcile_total`.
    ReconcileLabels {
        /// Kind of the object.
        kind: &'static str,
        /// `Applied` or `Failed`.
        outcome: &'static str,
        /// Reason of a failure, else empty.
        reason: &'static str,
    }

    /// The label `kind`.
    KindLabel {
        /// Kind of the object.
        kind: &'static str,
    }

    /// Labels of `sennight_backups_total` and `sennight_drills_total`.
    EndLabels {
        /// `Succeeded` or `Failed`.
        outcome: &'static str,
        /// Reason of a failure, else empty.
        reason: String,
    }

    /// Labels of `sennight_restores_total`.
    RestoreLabels {
        /// `CrmExport`, `FullRestore` or `Undo`.
        mode: &'static str,
        /// How the request ended.
        outcome: &'static str,
        /// Reason of a failure, else empty.
        reason: String,
    }

    /// The label `waiting_on`.
    ReminderLabels {
        /// `Helpdesk` or `Billing`.
        waiting_on: &'static str,
    }

    /// The label `fresh`.
    FreshLabel {
        /// Status of the condition Fresh.
        fresh: &'static str,
    }

    /// The label `age`.
    AgeLabel {
        /// Upper end of the age, or `older`, or `none`.
        age: &'static str,
    }

    /// The label `what`.
    OverdueLabel {
        /// `backup`, `hold` or `upload`.
        what: &'static str,
    }

    /// The label `ready`.
    ReadyLabel {
        /// Status of the condition Ready.
        ready: &'static str,
    }
}

/// Declares the metrics: `field: kind<Labels>, "name", "help";`.
macro_rules! metrics {
    ($($vis:vis $field:ident: $kind:ident $(<$labels:ident>)?, $name:literal, $help:literal;)*) => {
        /// Every metric there is.
        pub const CATALOGUE: &[Described] = &[$(Described {
            name: $name,
            kind: stringify!($kind),
            labels: metrics!(@labels $($labels)?),
            help: $help,
        }),*];

        /// The operator's metrics; clones share their values.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            $(#[doc = concat!("`", $name, "`: ", $help)] $vis $field: metrics!(@type $kind $($labels)?),)*
            reasons: Arc<Mutex<BTreeSet<String>>>,
        }

        impl Metrics {
            /// The metrics, and the registry that a scrape encodes.
            pub fn new() -> (Self, Registry) {
                let metrics = Self { $($field: metrics!(@new $kind),)* reasons: Arc::default() };
                let mut registry = Registry::default();
                // The encoder appends `_total` to counters itself.
                $(registry.register($name.trim_end_matches("_total"), $help, metrics.$field.clone());)*
                (metrics, registry)
            }
        }
    };
    (@labels) => { &[] };
    (@labels $labels:ident) => { $labels::NAMES };
    (@type gauge) => { Gauge };
    (@type gauge $labels:ident) => { Family<$labels, Gauge> };
    (@type counter $labels:ident) => { Family<$labels, Counter> };
    (@type histogram $labels:ident) => { Family<$labels, Histogram, fn() -> Histogram> };
    (@new histogram) => { Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 4.0, 8))) };
    (@new $kind:ident) => { Default::default() };
}

metrics! {
    pub reconciles: counter<ReconcileLabels>, "sennight_reconcile_total",
        "Reconciles by kind, outcome (Applied, Failed) and, for failures, reason";
    pub reconcile_seconds: histogram<KindLabel>, "sennight_reconcile_duration_seconds",
        "Time a reconcile took";
    backups: counter<EndLabels>, "sennight_backups_total",
        "Dumps that ended, by outcome (Succeeded, Failed) and, for failures, reason";
    restores: counter<RestoreLabels>, "sennight_restores_total",
        "RestoreRequests that ended, by mode, outcome (Complete, Failed, Denied, Expired, NeedsAttention) and reason";
    reminders: counter<ReminderLabels>, "sennight_reminders_total",
        "Reminders that a RestoreRequest's deadline is near, by who is waited for";
    drills: counter<EndLabels>, "sennight_drills_total",
        "Restore drills that ended, by outcome (Succeeded, Failed, Interrupted) and, unless they succeeded, reason";
    pub drills_failing: gauge, "sennight_drills_failing",
        "Tenants whose last restore drill failed, as far as DatabaseServers remember";
    pub drills_stalled: gauge, "sennight_drills_stalled",
        "DatabaseServers whose restore drills do not keep up, or have no place to run";
    pub oldest_proof: gauge, "sennight_drills_oldest_proof_seconds",
        "Age of the oldest last proof of a tenant, over the DatabaseServers that have drills; 0 where none has";
    pub refunds_due: gauge, "sennight_refunds_due",
        "Ended RestoreRequests that were paid, brought nothing, and have no refund recorded";
    pub schedules: gauge<FreshLabel>, "sennight_schedules",
        "BackupSchedules by their condition Fresh (True, False, Unknown)";
    pub failing: gauge, "sennight_schedules_failing",
        "BackupSchedules whose last run failed";
    pub backup_ages: gauge<AgeLabel>, "sennight_schedules_by_backup_age",
        "BackupSchedules that are not suspended, by the age of the newest backup: at most so much and more than the next smaller (6h, 12h, 24h, 26h, 48h, 168h, older, none)";
    pub oldest_backup: gauge, "sennight_oldest_backup_age_seconds",
        "Age of the newest backup of the tenant whose newest backup is the oldest";
    pub slots_due: gauge, "sennight_slots_due",
        "Slots that have come and whose dump has not ended";
    pub slot_lag: gauge, "sennight_slot_lag_seconds",
        "How long ago the first of these slots was";
    pub suspicious: gauge, "sennight_schedules_suspicious",
        "BackupSchedules whose newest backup is suspiciously small";
    pub overdue: gauge<OverdueLabel>, "sennight_overdue",
        "What the last patrols found and should be gone: backups (backup), holds (hold), unfinished uploads (upload)";
    pub stored_bytes: gauge, "sennight_stored_bytes",
        "Bytes of all backups that BackupSchedules list";
    pub dumps_waiting: gauge, "sennight_dumps_waiting",
        "Dumps that are due and have no Job yet";
    pub dumps_running: gauge, "sennight_dumps_running",
        "Places of running dump Jobs: dumps that may run at once";
    pub dumps_limit: gauge, "sennight_dumps_limit",
        "Dumps that may run at once, over all servers (--max-dumps)";
    pub restores_waiting: gauge, "sennight_restores_waiting",
        "Approved and paid RestoreRequests that wait for their turn";
    pub restores_running: gauge, "sennight_restores_running",
        "RestoreRequests with a running Job";
    pub storages: gauge<ReadyLabel>, "sennight_storage_ready",
        "BackupStorages by their condition Ready (True, False)";
    pub authority_intact: gauge, "sennight_authority_intact",
        "1 while the admission policies were last found intact, else 0: no restore runs";
    pub leader: gauge, "sennight_leader",
        "1 in the process that leads, else 0";
}

/// The table of docs/metrics.md.
pub fn documentation() -> String {
    let rows = CATALOGUE.iter().map(|metric| {
        format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind, metric.labels.join(", "), metric.help)
    });
    format!("| metric | type | labels | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}

/// Distinct reasons that workers may bring; more become `Other`, so that no bucket content can grow the label set.
const MOST_REASONS: usize = 100;

impl Metrics {
    /// Counts a dump that ended: `None` succeeded, `Some(reason)` failed.
    pub fn backup_ended(&self, failure: Option<&str>) {
        let outcome = if failure.is_some() { "Failed" } else { "Succeeded" };
        self.backups.get_or_create(&EndLabels { outcome, reason: self.reason(failure) }).inc();
    }

    /// Counts a restore drill that ended; `None` found nothing out about the backup.
    pub fn drill_ended(&self, proven: Option<bool>, reason: Option<&str>) {
        let outcome = proven.map_or("Interrupted", |proven| if proven { "Succeeded" } else { "Failed" });
        self.drills.get_or_create(&EndLabels { outcome, reason: self.reason(reason) }).inc();
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
        let mut known = self.reasons.lock();
        if camel && (known.contains(reason) || known.len() < MOST_REASONS) {
            known.insert(reason.to_owned());
            reason.to_owned()
        } else {
            "Other".to_owned()
        }
    }
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
    fn a_scrape_shows_every_metric_of_the_catalogue() {
        let (metrics, registry) = Metrics::new();
        metrics.backup_ended(None);
        metrics.restore_ended("CrmExport", "Complete", None);
        metrics.reminded("Helpdesk");
        metrics.drill_ended(Some(true), None);
        metrics.reconciles.get_or_create(&ReconcileLabels { kind: "X", outcome: "Applied", reason: "" }).inc();
        metrics.reconcile_seconds.get_or_create(&KindLabel { kind: "X" }).observe(0.1);
        metrics.schedules.get_or_create(&FreshLabel { fresh: "True" }).set(1);
        metrics.storages.get_or_create(&ReadyLabel { ready: "True" }).set(1);
        metrics.backup_ages.get_or_create(&AgeLabel { age: "6h" }).set(1);
        metrics.overdue.get_or_create(&OverdueLabel { what: "backup" }).set(1);
        let text = scrape(&registry);
        for metric in CATALOGUE {
            let family = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            assert!(text.contains(&format!("# TYPE {family} {}\n", metric.kind)), "{family}\n{text}");
            assert!(text.contains(&format!("# HELP {family} {}", metric.help)), "{family}\n{text}");
            assert!(text.contains(&format!("\n{}", metric.name)), "{}\n{text}", metric.name);
        }
        assert_eq!(text.matches("# TYPE ").count(), CATALOGUE.len());
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
