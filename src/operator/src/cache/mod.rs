//! What the operator knows of the cluster and keeps in memory: schedules, Jobs, open requests, open buckets. State only: nothing
//! in here starts a reconcile.

pub mod audit_ledger;
pub mod count_writes;
pub mod jobs;
pub mod open_requests;
pub mod patrols;
pub mod schedule_index;
pub mod storage_clients;
