//! Cases that are scripts: attacks of a hostile tenant, and servers that a case makes for itself. A script says how each of its
//! tries ended by a line `outcome<tab>NAME<tab>WORDS`; `held` is what all of them should say.

use crate::case::Case;
use crate::table::{Run, say};
use std::process::Stdio;
use std::time::Duration;
use testkit::{binary, path, repository};
use tokio::process::Command;

/// How long one may take.
const LONGEST: Duration = Duration::from_mins(15);

/// Runs those that concern this kind of server, one after another.
pub async fn all(run: &mut Run, kind: &str) {
    let server = match kind {
        "mariadb" => "mariadb-10.11".to_owned(),
        "api" => "kubernetes".to_owned(),
        _ => format!("postgres-{}", testkit::postgres::Server::all().await[0].major),
    };
    if kind == "mariadb"
        && !std::env::var("SENNIGHT_TEST_MYSQL").unwrap_or_default().split_whitespace().any(|name| name == server)
    {
        say("left out: scripts on MariaDB 10.11, which this run does not have");
        return;
    }
    if kind == "api" && std::env::var("SENNIGHT_TEST_KUBECTL").is_err() {
        say("left out: scripts on the API server, which the tier of services does not have");
        return;
    }
    let scripts = Case::all("security", ".sh").into_iter().chain(Case::all("postgres", ".sh"));
    for case in scripts.filter(|case| case.head("servers").unwrap_or("postgres") == kind) {
        one(run, &case, &server).await;
    }
}

async fn one(run: &mut Run, case: &Case, server: &str) {
    let mut command = Command::new("bash");
    command
        .arg(path(&repository().join("tests/cases").join(&case.name)))
        .env("SENNIGHT", binary("sennight"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(ended) = tokio::time::timeout(LONGEST, command.output()).await else {
        run.hold_words(&case.name, "script", server, "not done in time");
        return;
    };
    let ended = ended.unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if !ended.status.success() {
        say(&format!("{}: {}\n{out}\n{err}", case.name, ended.status));
        run.hold_words(&case.name, "script", server, "the script failed");
    }
    if std::env::var("SENNIGHT_CASE").is_ok() {
        say(&format!("{}:\n{out}\n{err}", case.name));
    }
    let said = out.lines().filter_map(|line| line.strip_prefix("outcome\t")?.split_once('\t'));
    for (name, words) in said {
        run.hold_words(&case.name, name, server, words);
    }
}
