//! The table of forgeries against the real API server: each is refused with the message that the documentation promises,
//! what is lawful goes through, and nothing but that changes anything. Then the two other ways to install the gate: with
//! four eyes, and without the policies that stamp names (Kubernetes before 1.36).

use crate::how::{Case, Want, contains, read};
use crate::scene::{Scene, Senders, change, furnish, remove};
use crate::table::{self, unstamped};
use futures::StreamExt;
use sennight_api::admission;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::cluster;
use testkit::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn i6_every_forgery_of_the_table_is_refused_and_what_is_lawful_goes_through() {
    let world = World::on_api("gate").with_people().await;
    furnish(&world).await;
    let all = table::table();
    let refused = all.iter().filter(|case| matches!(case.want, Want::Refused(_) | Want::Barred(_))).count();
    println!("forging: {} cases, {refused} of them must be refused", all.len());
    assert!(refused >= 80, "the table has lost its lines");
    run(&world, &all, cluster::stamps()).await;
}

/// Where nothing stamps names, another rule may be the first to refuse, and what is lawful is in [`unstamped`].
fn without_stamps(case: &Case, answer: &Result<Value, String>) -> Option<String> {
    match (&case.want, answer) {
        (Want::Refused(_) | Want::Barred(_), Ok(_)) => case.fault(answer),
        _ => None,
    }
}

/// Tries every case on a request of its own; panics with all that is not as it must be.
async fn run(world: &World, all: &[Case], to_the_letter: bool) {
    let senders = Senders::default();
    let faults: Vec<String> = futures::stream::iter(all.iter().enumerate())
        .map(|(number, case)| tried(world, &senders, case, format!("case-{number}"), to_the_letter))
        .buffer_unordered(6)
        .filter_map(async |fault| fault)
        .collect()
        .await;
    assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
}

async fn tried(world: &World, senders: &Senders, case: &Case, name: String, to_the_letter: bool) -> Option<String> {
    case.on.lay(world, &name).await;
    let before = read(world, senders, &name).await;
    let answer = case.tried(world, senders, &name, false).await;
    let after = read(world, senders, &name).await;
    if case.on == Scene::Deleting {
        let none = json!({"metadata": {"finalizers": null}});
        let path = format!("/apis/sennight.dev/v1alpha1/namespaces/{}/restorerequests/{name}", world.namespace);
        senders.send(("", None), "PATCH", &path, "application/merge-patch+json", none.to_string()).await.unwrap();
    }
    let fault = if to_the_letter { case.fault(&answer) } else { without_stamps(case, &answer) };
    let idle = matches!((&case.want, &answer), (Want::Allowed(_), Err(_)));
    let fault = fault.or_else(|| if idle { None } else { effect(case, &before, &after) });
    fault.map(|fault| format!("- {}\n    {fault}", case.line()))
}

/// What is wrong with what a case left behind.
fn effect(case: &Case, before: &Value, after: &Value) -> Option<String> {
    let (old, new) = (&before["status"], &after["status"]);
    match &case.want {
        Want::Allowed(_) if case.on == Scene::Nothing && after.is_null() => None,
        Want::Allowed(Value::Null) => {
            let by = &after["spec"]["requestedBy"];
            (!new.is_null() || by != case.who || after["metadata"]["uid"] == before["metadata"]["uid"])
                .then(|| format!("it was born with {new}, asked for by {by}"))
        }
        Want::Allowed(part) => (!contains(new, part)).then(|| format!("status is {new}")),
        Want::Refused(_) | Want::Barred(_) | Want::Ignored => {
            (old != new).then(|| format!("status has changed from {old} to {new}"))
        }
    }
}

/// The stamping policies are away until this is dropped, and come into force again some time after that.
pub struct Unstamped;

impl Unstamped {
    /// Takes them away; returns when they are no longer in force.
    pub async fn new(world: &World) -> Self {
        if !cluster::stamps() {
            return Self;
        }
        for guard in admission::mutating().iter().filter(|guard| guard.kind.ends_with("Binding")) {
            remove(guard.kind, guard.name);
        }
        Scene::Open.lay(world, "nameless").await;
        let early = |case: &Case| case.tries.ends_with("without a name") && case.on != Scene::Ended;
        let nameless: Vec<Case> = unstamped().into_iter().filter(early).collect();
        for case in &nameless {
            until_so("no more stamps", async |senders| {
                case.fault(&case.tried(world, senders, "nameless", true).await).is_none()
            })
            .await;
        }
        Self
    }

    /// Puts them back; returns when they are in force again, for whoever comes next.
    pub async fn back(self) {
        drop(self);
        cluster::in_force().await;
    }
}

impl Drop for Unstamped {
    fn drop(&mut self) {
        if cluster::stamps() {
            change(&admission::mutating().iter().map(admission::Guard::object).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_where_nothing_stamps_names_the_writer_names_themselves_truly() {
    let world = World::on_api("unstamped").with_people().alone().await;
    let away = Unstamped::new(&world).await;
    run(&world, &unstamped(), true).await;
    away.back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_with_four_eyes_whoever_asked_does_not_approve() {
    let world = World::on_api("eyes").with_people().alone().await;
    for (every_mode, cases) in [
        (true, table::four_eyes("(gate.fourEyes: All)", true)),
        (false, table::four_eyes("(gate.fourEyes: FullRestore)", false)),
    ] {
        let guards = admission::four_eyes(every_mode);
        change(&guards.iter().map(admission::Guard::object).collect::<Vec<_>>());
        let name = if every_mode { "probe-all" } else { "probe-replacing" };
        Scene::Full.lay(&world, name).await;
        let probe = &cases[1];
        until_so("the policy of four eyes", async |senders| {
            probe.fault(&probe.tried(&world, senders, name, true).await).is_none()
        })
        .await;
        let outcome = std::panic::AssertUnwindSafe(run_in(&world, &cases, name));
        let outcome = futures::FutureExt::catch_unwind(outcome).await;
        for guard in &guards {
            remove(guard.kind, guard.name);
        }
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The same on requests of other names.
async fn run_in(world: &World, all: &[Case], prefix: &str) {
    let senders = Senders::default();
    let mut faults = vec![];
    for (number, case) in all.iter().enumerate() {
        faults.extend(tried(world, &senders, case, format!("{prefix}-{number}"), true).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Policies take some tenths of a second to come into force and to go out of it.
pub async fn until_so(what: &str, so: impl AsyncFn(&Senders) -> bool) {
    let (senders, began) = (Senders::default(), Instant::now());
    while !so(&senders).await {
        assert!(began.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
