//! What a server's own settings and its ways to grant rights may do to a backup: nothing, or a refusal that says why. These
//! tests change settings of whole servers, so they are alone in their process, and cargo runs no other beside it. `make engines`
//! tries every value on three servers, `make test` some on the host's MariaDB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]
#![allow(
    clippy::large_futures,
    clippy::similar_names,
    reason = "a suite's futures are run once, on a heap that has room"
)]

mod by_hand;
mod grants;
mod hostile;
mod picture;
mod variables;

use tokio::sync::Mutex;

/// One test at a time: they share the server's settings.
static ALONE: Mutex<()> = Mutex::const_new(());
