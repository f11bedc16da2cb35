//! The museum: one database with everything that PostgreSQL can hold (`tests/museum/*.sql`), dumped and restored on every
//! major; what comes back must be the same text, row for row and definition for definition.

mod big;
pub mod exhibit;
mod portrait;

use crate::servers::Server;
use exhibit::Exhibit;

#[tokio::test(flavor = "multi_thread")]
async fn i4_the_museum_comes_back_whole_on_every_major() {
    for server in Server::all().await {
        let major = server.major;
        let exhibit = Exhibit::open(server).await;
        let before = exhibit.portrait().await;
        let copy = exhibit.dump().await;

        exhibit.restore(&copy).await;

        let differences = before.differences(&exhibit.portrait().await);
        assert!(differences.is_empty(), "PostgreSQL {major}, not as it was:\n{}", differences.join("\n"));
        crate::servers::say(&format!("museum on PostgreSQL {major}: {} came back", before.summary()));
        exhibit.close().await;
    }
}
