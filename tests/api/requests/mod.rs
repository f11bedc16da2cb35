//! The life of RestoreRequests and of dumps: the operator's and the worker's real binaries on a real API server, its
//! controller manager, PostgreSQL and S3, each person with their own account and role. Only a node is missing, so that
//! the test plays the kubelet.

mod batches;
mod drills;
mod dumps;
mod exports;
mod family;
mod integrity;
mod killed;
mod life;
mod rebuilt;
mod record;
mod refusals;
mod rivals;
mod undo;
mod waiting;
