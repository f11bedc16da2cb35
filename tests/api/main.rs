//! The operator's, the worker's and the plugin's real binaries, and the policies, on a real API server with its controller
//! manager, PostgreSQL and S3. Run by `tests/cluster/with.sh api -- cargo test -p testkit --test api`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on should say where"
)]

mod admission;
mod plugin;
mod readme;
mod requests;
mod runtime;
