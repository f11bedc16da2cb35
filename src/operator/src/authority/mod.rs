//! The gate of approval and payment: what is known of it, the check itself, and the task that repeats the check.

pub mod check;
pub mod status;
pub mod watch;
