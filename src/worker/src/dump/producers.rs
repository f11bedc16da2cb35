//! Runs the parts of a dump together: which of their errors is reported, and when all of them must stop.

use super::{DumpError, GIVE_UP};
use sennight_engine::dump::BlockedDdl;
use tokio_util::sync::CancellationToken;

/// Waits for both, because each aborts its uploads by itself. Returns the error that came first.
pub async fn first_error<A, B>(
    a: impl Future<Output = Result<A, DumpError>>,
    b: impl Future<Output = Result<B, DumpError>>,
) -> Result<(A, B), DumpError> {
    match tokio::join!(a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(DumpError::Stopped) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
    }
}

/// Runs `work`. Stops it when `monitor` reports a tenant's DDL that has waited for the dump's locks as long as it may.
pub async fn unless_ddl_waits<T>(
    work: impl Future<Output = Result<T, DumpError>>,
    monitor: impl Future<Output = BlockedDdl>,
    stop: &CancellationToken,
) -> Result<T, DumpError> {
    let mut work = Box::pin(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        blocked = monitor => {
            stop.cancel();
            let error = blocked.end_dump_sessions().await;
            // Stopped, not dropped: unfinished uploads are aborted, if the store answers at all.
            let _ = tokio::time::timeout(GIVE_UP, work).await;
            Err(DumpError::Engine(error))
        }
    }
}

/// A reader that was stopped because of a signal reports `Cancelled`.
pub fn cancelled_if_signalled(error: DumpError, cancel: &CancellationToken) -> DumpError {
    match error {
        DumpError::Stopped if cancel.is_cancelled() => DumpError::Cancelled,
        error => error,
    }
}
