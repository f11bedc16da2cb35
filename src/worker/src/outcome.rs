//! What a worker leaves when its tasks end: reports in the bucket, one line for `kubectl describe pod`, an exit code.

use super::TaskError;
use sennight_protocol::report::{EXIT_OK, EXIT_REFUSED, EXIT_RETRY, Outcome, TaskReport};
use sennight_storage::Store;
use std::fs::OpenOptions;
use std::io::Write;

/// Where the kubelet reads a container's termination message; it cuts it at 4,096 bytes.
const TERMINATION_LOG: &str = "/dev/termination-log";
const TERMINATION_LIMIT: usize = 4096;

/// The report of an earlier pod of the same Job, if another attempt would gain nothing. A task that `runs_once` ends with
/// its first report, whatever that says: the operator has acted on it (I2).
pub async fn earlier_report(store: &Store, job_uid: &str, task: &str, runs_once: bool) -> Option<TaskReport> {
    let report = store.report(job_uid, task).await.ok()??;
    (runs_once || !retryable(&report)).then_some(report)
}

/// Writes the report. If that fails, the task has failed: the operator would never learn of it.
pub async fn put_report(store: &Store, job_uid: &str, report: TaskReport) -> TaskReport {
    log_report(&report);
    match store.put_report(job_uid, &report).await {
        Ok(()) => report,
        Err(error) => {
            tracing::error!(task = report.task, %error, "report not written");
            let outcome = match report.outcome {
                unknown @ Outcome::Unknown { .. } => unknown,
                Outcome::Succeeded(_) | Outcome::Failed { .. } => TaskError::from(error).into(),
            };
            TaskReport { outcome, ..report }
        }
    }
}

fn log_report(report: &TaskReport) {
    match &report.outcome {
        Outcome::Succeeded(done) => tracing::info!(task = report.task, ?done, "task succeeded"),
        Outcome::Failed { reason, message, retryable } => {
            tracing::error!(task = report.task, reason, message, retryable, "task failed");
        }
        Outcome::Unknown { reason, message } => {
            tracing::error!(task = report.task, reason, message, "task outcome unknown");
        }
    }
}

fn retryable(report: &TaskReport) -> bool {
    matches!(report.outcome, Outcome::Failed { retryable: true, .. })
}

/// Exit code of the process: all tasks succeeded, one that failed may succeed in another pod, or none of them can.
pub fn exit_code(reports: &[TaskReport]) -> i32 {
    if reports.iter().all(|r| matches!(r.outcome, Outcome::Succeeded(_))) {
        EXIT_OK
    } else if reports.iter().any(retryable) {
        EXIT_RETRY
    } else {
        EXIT_REFUSED
    }
}

/// One line about all tasks: how many succeeded, then each failure. At most [`TERMINATION_LIMIT`] bytes.
pub fn summary_line(verb: &str, reports: &[TaskReport]) -> String {
    let succeeded = reports.iter().filter(|r| matches!(r.outcome, Outcome::Succeeded(_))).count();
    let mut text = format!("{verb}: {succeeded} of {} succeeded", reports.len());
    for report in reports {
        if let Outcome::Failed { reason, message, .. } | Outcome::Unknown { reason, message } = &report.outcome {
            text.extend(["; ", report.task.as_str(), ": ", reason.as_str(), ": ", message.as_str()]);
        }
    }
    let mut text = text.replace(['\n', '\r'], " ");
    let mut end = text.len().min(TERMINATION_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Writes the line where the kubelet reads it. From a shell there is no such file, and none is created.
pub fn write_termination_message(line: &str) {
    if let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(TERMINATION_LOG)
        && let Err(error) = file.write_all(line.as_bytes())
    {
        tracing::warn!(%error, "termination message not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use sennight_core::result::{Done, Preflight};

    fn report(outcome: Outcome) -> TaskReport {
        TaskReport { task: "acme".into(), started_at: Utc::now(), finished_at: Utc::now(), outcome }
    }

    fn done() -> TaskReport {
        report(Outcome::Succeeded(Done::Preflighted(Preflight::default())))
    }

    fn failed(retryable: bool) -> TaskReport {
        report(Outcome::Failed { reason: "LockTimeout".into(), message: "a\nb".repeat(3000), retryable })
    }

    #[test]
    fn one_task_that_may_yet_succeed_is_worth_another_pod() {
        assert_eq!(exit_code(&[done(), done()]), EXIT_OK);
        assert_eq!(exit_code(&[done(), failed(false)]), EXIT_REFUSED);
        assert_eq!(exit_code(&[failed(false), failed(true)]), EXIT_RETRY);
        let unknown = report(Outcome::Unknown { reason: "R".into(), message: "m".into() });
        assert_eq!(exit_code(&[unknown]), EXIT_REFUSED, "never tried again by itself (I2)");
    }

    #[test]
    fn the_termination_message_is_one_line_that_the_kubelet_does_not_cut() {
        let text = summary_line("dump", &[done(), failed(true)]);
        assert!(text.starts_with("dump: 1 of 2 succeeded; acme: LockTimeout: a b"), "{}", &text[..60]);
        assert!(text.len() <= TERMINATION_LIMIT && !text.contains('\n'));
    }
}
