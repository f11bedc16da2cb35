//! The machinery around every controller: watches, loops, timers, clients, leader election, metrics. It knows no controller and
//! no kind of ours.

pub mod clients;
pub mod clock;
pub mod delay_queue;
pub mod http;
pub mod informer;
pub mod instrumented;
pub mod key;
pub mod leader_election;
pub mod namespaced_watch;
pub mod telemetry;
pub mod turns;
pub mod write_fence;
pub mod writes;
