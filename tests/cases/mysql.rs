//! MySQL and MariaDB: which ways each case is tried by, and on which of the run's servers.

use crate::case::Case;
use crate::mysql_tenant::Tenant;
use crate::table::Run;
use testkit::mysql::Server;

/// Runs every case on every server of the run; where there is none, says so.
pub async fn all(run: &mut Run) {
    for server in Server::all() {
        let cases = Case::all("mysql", ".sql").into_iter().chain(Case::all("mysql/held", ".sql"));
        for case in cases.filter(|case| case.concerns(&server.name)) {
            for way in case.ways("intact ruin") {
                let tenant = Tenant::new(&server, &case).await;
                let outcome = tenant.outcome(&way).await.unwrap_or_else(|ended| ended);
                tenant.close();
                run.hold(&case.name, &way, &server.name, &outcome);
            }
        }
    }
}
