//! The fixture database's partitions, filled again and again while the machine is busy: what one connection makes must be there when
//! another one builds on it, whoever is faster.

use crate::fixtures::fixture::Fixture;
use crate::servers::{Server, cases, say};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads that only burn time, until the value goes.
struct Load(Arc<AtomicBool>);

impl Load {
    fn on_all_cores() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_partitions_never_depends_on_which_connection_is_faster() {
    for server in Server::all().await {
        let major = server.major;
        let fixture = Fixture::open(server).await;
        let backup = fixture.dump().await;
        let load = Load::on_all_cores();
        let times = cases("restores of partitions under load", 100, 30);

        for time in 1..=times {
            // Each drops what the one before made.
            fixture.prepare(&backup).await.unwrap_or_else(|e| panic!("PostgreSQL {major}, time {time}: {e}"));
        }

        drop(load);
        say(&format!("partitions on PostgreSQL {major}: {times} restores under load, none failed"));
        fixture.close().await;
    }
}
