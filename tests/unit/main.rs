//! What needs no server: generated files, the chart as Helm renders it, exports of hand-made backups,
//! the plugin's words. Run by `cargo test -p testkit --test unit`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say where")]

mod account;
mod authority;
mod chart;
mod crds;
mod crm;
mod dependencies;
mod export;
mod importing;
mod login;
mod manifests;
mod plugin;
mod plugin_status;
mod retired;
mod samples;
mod statements;
