//! The dump's producers at work together: which of their errors is told, and when all of them give way.

use super::{DumpError, GIVE_UP};
use sennight_engine::postgres::lock_monitor::WaitingDdl;
use tokio_util::sync::CancellationToken;

/// Waits for both, because each gives up its uploads by itself, and tells the error that came first.
pub async fn first_error<A, B>(
    a: impl Future<Output = Result<A, DumpError>>,
    b: impl Future<Output = Result<B, DumpError>>,
) -> Result<(A, B), DumpError> {
    match tokio::join!(a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(DumpError::Stopped) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
    }
}

/// Does the work unless a tenant's DDL has waited for it as long as it may.
pub async fn unless_ddl_waits<T>(
    work: impl Future<Output = Result<T, DumpError>>,
    watch: impl Future<Output = WaitingDdl>,
    stop: &CancellationToken,
) -> Result<T, DumpError> {
    let mut work = Box::pin(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        blocking = watch => {
            stop.cancel();
            let error = blocking.end_dump_sessions().await;
            // Not dropped but stopped: unfinished uploads are given up, if the store answers at all.
            let _ = tokio::time::timeout(GIVE_UP, work).await;
            Err(error.into())
        }
    }
}

/// Who was stopped because the worker was told to end says so.
pub fn cancelled_if_signalled(error: DumpError, cancel: &CancellationToken) -> DumpError {
    match error {
        DumpError::Stopped if cancel.is_cancelled() => DumpError::Cancelled,
        error => error,
    }
}
