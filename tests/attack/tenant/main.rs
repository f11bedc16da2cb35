//! Hostile databases: what a tenant wrote runs in nobody's name but the tenant's own (I11). Each database of `hostile.sql` goes
//! through dump, verify, preflight, prepare, cut-over, safety backup, undo and drill, by restore roles of several kinds.
//! The tenant's code notes in the server's log who runs it. `SENNIGHT_CASES` chooses how many databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say where")]

mod hostile;
mod life;

use hostile::{Hostile, Seen};
use life::Arrangement;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Databases at work at once.
const AT_ONCE: usize = 3;

/// Runs all chosen databases, and returns what ran in somebody else's name or did not end as it should.
async fn run(arrangement: Arrangement) -> Vec<String> {
    let (all, places) = (hostile::chosen(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut running = tokio::task::JoinSet::new();
    for database in all {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let name = database.name.clone();
            // One that panics is one that went wrong.
            let lived = tokio::spawn(async move { life::lived(&database, arrangement).await }).await;
            (name, lived.unwrap_or_else(|panicked| Err(panicked.to_string())))
        });
    }
    let (mut wrong, mut noted) = (Vec::new(), BTreeSet::new());
    while let Some(ended) = running.join_next().await {
        let (name, found) = ended.unwrap();
        match found {
            Ok(Seen { calls, who }) => {
                let _ = writeln!(std::io::stderr(), "  {arrangement:?} {name}: {calls} calls as {who}");
                noted.extend((calls > 0).then_some(name));
            }
            Err(why) => wrong.push(format!("{arrangement:?} {name}: {why}")),
        }
    }
    // A log that nobody reads would let everything pass.
    assert!(!noted.is_empty(), "no code of a tenant was seen at all");
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_tenants_code_runs_with_a_tenants_rights_whatever_the_restore_role_may_do() {
    let mut wrong = Vec::new();
    for arrangement in [Arrangement::Lesser, Arrangement::Superuser, Arrangement::OneOwner] {
        wrong.extend(run(arrangement).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn at_least_sixty_hostile_databases_have_names_of_their_own() {
    let all = Hostile::all();
    let names: BTreeSet<&str> = all.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.len() >= 60, "{}", all.len());
}
