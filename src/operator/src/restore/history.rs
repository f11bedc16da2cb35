//! The history in a request's status: what happened to it, for people to read.

use sennight_api::RestoreRequestStatus;
use sennight_api::restore_report::HistoryEntry;

/// Longest history; the oldest entries go.
const HISTORY: usize = 50;
/// Adds an entry to the history, and drops the oldest beyond [`HISTORY`].
pub fn history(status: &mut RestoreRequestStatus, entry: HistoryEntry) {
    status.history.push(entry);
    let over = status.history.len().saturating_sub(HISTORY);
    status.history.drain(..over);
}
