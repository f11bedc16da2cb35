//! The life of RestoreRequests and of dumps: the operator's and the worker's real binaries on a real API server, its
//! controller manager, PostgreSQL and S3, each person with their own account and role. Only a node is missing, so that
//! the test plays the kubelet. Run by `tests/cluster/with.sh api -- cargo test --test api_requests`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on should say where"
)]

#[path = "api_requests/dumps.rs"]
mod dumps;
#[path = "api_requests/kubelet.rs"]
mod kubelet;
#[path = "api_requests/life.rs"]
mod life;
#[allow(dead_code, reason = "api_runtime looks at the operator from nearer")]
#[path = "api_runtime/operator.rs"]
mod operator;
#[path = "api_requests/people.rs"]
mod people;
#[path = "api_requests/refusals.rs"]
mod refusals;
mod support;
#[path = "api_requests/world.rs"]
mod world;
