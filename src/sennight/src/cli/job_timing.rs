//! Flags of `operator` about Jobs and time: how many Jobs and how large, deadlines, intervals and pauses.

use clap::Args;
use sennight_operator::settings::{JobSettings, Timing, duration};
use std::time::Duration;

/// How due dumps get their Jobs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Jobs")]
pub struct JobArgs {
    /// Tenants that one dump Job takes at most, of those that share namespace, storage, server and credentials; 1 is a Job
    /// a tenant. Big tenants and those that failed by themselves have their own in any case.
    #[arg(long, default_value_t = 50)]
    pub batch_tenants: u16,
    /// How long a due dump waits for others to share its Job, where others have come lately.
    // With two minutes, 100,000 tenants in six hours want as many Jobs as the token bucket has (a test of
    // `core::batch`).
    #[arg(long, default_value = "3m", value_parser = duration)]
    pub batch_window: Duration,
    /// Jobs created in a minute; a default kube-controller-manager completes some 200.
    #[arg(long, default_value_t = 60)]
    pub jobs_per_minute: i32,
    /// Jobs created at once after a pause.
    #[arg(long, default_value_t = 10)]
    pub job_burst: i32,
}

/// Deadlines and pauses of `operator`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Timing")]
pub struct TimingArgs {
    /// A request that nobody approved for this long expires.
    #[arg(long, default_value = "72h", value_parser = duration)]
    pub approval_deadline: Duration,
    /// An approved request that nobody paid for this long expires.
    #[arg(long, default_value = "120h", value_parser = duration)]
    pub payment_deadline: Duration,
    /// Pause between two checks of a BackupStorage.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub storage_interval: Duration,
    /// Pause between two patrols of a BackupStorage, which list all backups: what is overdue is reported, and deleted where
    /// the bucket has no rules. One listing request for a thousand objects.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub patrol_interval: Duration,
    /// Pause between two checks of the admission policies.
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub authority_interval: Duration,
    /// Pause between two checks of a running Job.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub job_interval: Duration,
    /// First pause before a failed dump is tried again; doubles with each attempt, at most 3h.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub dump_retry: Duration,
    /// Longest time for one dump.
    #[arg(long, default_value = "2h", value_parser = duration)]
    pub dump_deadline: Duration,
    /// First pause before filling a new database or writing an export is tried again; doubles with each attempt, at most 30m.
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub restore_retry: Duration,
    /// Longest time for one step of a restore.
    #[arg(long, default_value = "6h", value_parser = duration)]
    pub restore_deadline: Duration,
    /// How long the database that a full restore replaced is kept.
    #[arg(long, default_value = "72h", value_parser = duration)]
    pub undo_window: Duration,
    /// How long a finished RestoreRequest is kept.
    // 90 days.
    #[arg(long, default_value = "2160h", value_parser = duration)]
    pub request_retention: Duration,
    /// How late a backup may be, beyond the slot's interval, before its schedule is not Fresh.
    #[arg(long, default_value = "2h", value_parser = duration)]
    pub freshness_slack: Duration,
}

impl JobArgs {
    pub(super) fn resolve(self) -> JobSettings {
        let Self { batch_tenants, batch_window, jobs_per_minute, job_burst } = self;
        JobSettings { batch_tenants: batch_tenants.into(), batch_window, per_minute: jobs_per_minute, burst: job_burst }
    }
}

impl TimingArgs {
    pub(super) fn resolve(self) -> Timing {
        let Self {
            approval_deadline,
            payment_deadline,
            storage_interval,
            patrol_interval,
            authority_interval,
            job_interval,
            dump_retry,
            dump_deadline,
            restore_retry,
            restore_deadline,
            undo_window,
            request_retention,
            freshness_slack,
        } = self;
        Timing {
            approval_deadline,
            payment_deadline,
            storage_interval,
            patrol_interval,
            authority_interval,
            job_interval,
            dump_retry,
            dump_deadline,
            restore_retry,
            restore_deadline,
            undo_window,
            request_retention,
            freshness_slack,
        }
    }
}
