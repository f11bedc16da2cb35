//! Forgeries while the API server is killed and started again: none is taken, at no moment, and what is taken is lawful.
//! The moment that matters is the first one after a start, when an API server serves and may not have read its policies.

use crate::how::{How, Want};
use crate::private_api::{ApiServer, Etcd};
use crate::scene::{Scene, paid, point};
use crate::table;
use http::Request;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sennight_api::{RestoreRequest, admission};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::cluster::request;
use testkit::world::{ALICE, BILLING, BOTH, MALLORY, OPERATOR, PEOPLE};

const WHOLE: usize = 20_000;
const NAMESPACE: &str = "storm";
const CLIENTS: usize = 6;

/// A forgery, ready to be sent.
struct Shot {
    who: &'static str,
    line: String,
    name: String,
    query: String,
    content: &'static str,
    body: String,
}

/// What became of the shots.
#[derive(Default)]
struct Tally {
    denied: AtomicUsize,
    barred: AtomicUsize,
    closed: AtomicUsize,
    unanswered: AtomicUsize,
    lawful: AtomicUsize,
    stop: AtomicBool,
    taken: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn answered(&self) -> usize {
        [&self.denied, &self.barred, &self.closed].iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i6_no_forgery_is_taken_while_the_api_server_is_killed_again_and_again() {
    let etcd = Etcd::start();
    let mut server = ApiServer::start(&etcd, &[]);
    server.ready().await;
    server.furnish(NAMESPACE, &[&PEOPLE[..], &[(MALLORY, "edit")]].concat());
    let whole = crate::cases("storm", WHOLE);
    let kills = if whole == WHOLE { 5 } else { 1 };
    let seed = crate::seed("storm");
    let clients = clients(&server).await;
    in_force(&clients).await;
    let shots = Arc::new(shots());
    for scene in shots.iter().map(|shot| shot.name.clone()).collect::<std::collections::BTreeSet<_>>() {
        lay(&clients, &scene).await;
    }
    let before = statuses(&clients[""]).await;
    let tally = Arc::new(Tally::default());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (clients, shots, tally) = (clients.clone(), shots.clone(), tally.clone());
        tasks.spawn(forge(clients, shots, tally, seed ^ number as u64));
    }
    tasks.spawn(live(clients.clone(), tally.clone()));
    let began = Instant::now();
    for kill in 1..=kills {
        while tally.answered() < whole * kill / (kills + 1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill();
        server.again();
        server.ready().await;
    }
    // A part of the storm may be over before those who may had their turn.
    while tally.answered() < whole || tally.lawful.load(Ordering::Relaxed) == 0 {
        assert!(
            began.elapsed() < Duration::from_mins(30),
            "{} answers in half an hour, or nothing lawful",
            tally.answered()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tally.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let count = |n: &AtomicUsize| n.load(Ordering::Relaxed);
    println!(
        "storm: {} forgeries answered over {kills} kills in {:.0} s: {} refused by a policy, {} by the schema or rights, {} because \
         nothing was ready to judge them; {} more met nobody; {} lawful writes were taken",
        tally.answered(),
        began.elapsed().as_secs_f64(),
        count(&tally.denied),
        count(&tally.barred),
        count(&tally.closed),
        count(&tally.unanswered),
        count(&tally.lawful)
    );
    let taken = tally.taken.lock().unwrap().clone();
    assert!(taken.is_empty(), "{} forgeries were taken:\n{}", taken.len(), taken.join("\n"));
    assert_eq!(statuses(&clients[""]).await, before, "no forgery's target has changed");
}

type Clients = Arc<HashMap<&'static str, Client>>;

async fn clients(server: &ApiServer) -> Clients {
    let mut all = HashMap::new();
    for who in PEOPLE.iter().map(|(who, _)| *who).chain([MALLORY, ""]) {
        all.insert(who, server.client(who).await);
    }
    Arc::new(all)
}

fn requests(client: &Client) -> Api<RestoreRequest> {
    Api::namespaced(client.clone(), NAMESPACE)
}

/// Those lines of the table that must be refused and that one message can carry.
fn shots() -> Vec<Shot> {
    let refused = table::table().into_iter().filter(|case| matches!(case.want, Want::Refused(_) | Want::Barred(_)));
    refused
        .filter(|case| !matches!(case.on, Scene::Nothing | Scene::Deleting))
        .filter_map(|case| {
            let name = format!("target-{:?}", case.on).to_lowercase();
            let (query, content, body) = match &case.how {
                How::Merge("status", body) => (String::new(), "application/merge-patch+json", body.to_string()),
                How::Json("status", body) => (String::new(), "application/json-patch+json", body.to_string()),
                How::Apply("status", manager, fields) => {
                    let mut body = json!({
                        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name}
                    });
                    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
                    (format!("?fieldManager={manager}&force=true"), "application/apply-patch+yaml", body.to_string())
                }
                _ => return None,
            };
            Some(Shot { who: case.who, line: case.line(), name, query, content, body })
        })
        .collect()
}

/// The request that a scene's forgeries aim at, made by lawful writes.
async fn lay(clients: &Clients, name: &str) {
    let mode = if name.ends_with("full") { "FullRestore" } else { "CrmExport" };
    let mut object = request(name, mode);
    object.spec.acknowledge_data_loss = (mode == "FullRestore").then_some(true);
    requests(&clients[ALICE]).create(&PostParams::default(), &object).await.unwrap();
    let is = |scenes: &[&str]| scenes.iter().any(|scene| name == format!("target-{scene}"));
    if is(&["fresh"]) {
        return;
    }
    let conditions = json!([
        {"type": "Eligible", "status": "True", "reason": "Possible"}, {"type": "Held", "status": "True", "reason": "HoldPlaced"}
    ]);
    let opened =
        json!({"phase": "AwaitingApproval", "waitingOn": "Helpdesk", "backup": point(), "conditions": conditions});
    merge(clients, OPERATOR, name, &opened).await.unwrap();
    if is(&["approved", "signed", "claimed", "ended"]) {
        merge(clients, ALICE, name, &json!({"approval": {"decision": "Approved"}})).await.unwrap();
    }
    if is(&["approvedbyboth"]) {
        merge(clients, BOTH, name, &json!({"approval": {"decision": "Approved"}})).await.unwrap();
    }
    if is(&["denied"]) {
        merge(clients, ALICE, name, &json!({"approval": {"decision": "Denied"}})).await.unwrap();
    }
    if is(&["paid", "signed", "claimed", "ended"]) {
        let payment = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name},
            "status": {"conditions": paid("True"), "payment": {"reference": "INV-1", "amount": "49.00", "currency": "EUR"}}
        });
        let params = PatchParams::apply("billing").force();
        requests(&clients[BILLING]).patch_status(name, &params, &Patch::Apply(&payment)).await.unwrap();
    }
    if is(&["claimed", "ended"]) {
        let claim = json!({"claim": {"attempt": 1, "job": "j", "at": "2026-11-22T01:00:00Z"}});
        merge(clients, OPERATOR, name, &claim).await.unwrap();
    }
    if is(&["ended", "expired"]) {
        merge(clients, OPERATOR, name, &json!({"finishedAt": "2026-11-22T02:00:00Z"})).await.unwrap();
    }
}

async fn merge(clients: &Clients, who: &str, name: &str, status: &Value) -> kube::Result<RestoreRequest> {
    requests(&clients[who]).patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await
}

async fn statuses(admin: &Client) -> BTreeMap<String, Value> {
    let all = requests(admin).list(&kube::api::ListParams::default()).await.unwrap().items;
    let targets = all.into_iter().filter(|o| o.metadata.name.as_deref().is_some_and(|n| n.starts_with("target-")));
    targets.map(|o| (o.metadata.name.clone().unwrap(), serde_json::to_value(o.status).unwrap())).collect()
}

async fn in_force(clients: &Clients) {
    let began = Instant::now();
    requests(&clients[ALICE]).create(&PostParams::default(), &request("probe", "CrmExport")).await.ok();
    loop {
        let forged = merge(clients, OPERATOR, "probe", &json!({"approval": {"decision": "Approved"}})).await;
        let made = requests(&clients[""]).get("probe").await;
        match (forged, made) {
            (Err(kube::Error::Api(status)), _) if admission::is_own_refusal(&status.message) => return,
            _ => {
                assert!(began.elapsed() < Duration::from_mins(1), "the policies are not in force");
                requests(&clients[""]).delete("probe", &kube::api::DeleteParams::default()).await.ok();
                tokio::time::sleep(Duration::from_millis(300)).await;
                requests(&clients[ALICE]).create(&PostParams::default(), &request("probe", "CrmExport")).await.ok();
            }
        }
    }
}

/// Sends forgeries of chance until it is told to stop.
async fn forge(clients: Clients, shots: Arc<Vec<Shot>>, tally: Arc<Tally>, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    while !tally.stop.load(Ordering::Relaxed) {
        let shot = shots.choose(&mut chance).unwrap();
        let path = format!(
            "/apis/sennight.dev/v1alpha1/namespaces/{NAMESPACE}/restorerequests/{}/status{}",
            shot.name, shot.query
        );
        let message = Request::builder().method("PATCH").uri(path).header("Content-Type", shot.content);
        let message = message.body(shot.body.clone().into_bytes()).unwrap();
        let counter = match clients[shot.who].request_text(message).await {
            Ok(text) => {
                tally.taken.lock().unwrap().push(format!("{}: {text}", shot.line));
                continue;
            }
            Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => &tally.denied,
            Err(kube::Error::Api(status)) if status.message.contains("not yet ready to handle request") => {
                &tally.closed
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 400..=428 | 430..=499) => &tally.barred,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(chance.random_range(1..8))).await;
                &tally.unanswered
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Those who may, all the while: a request is created, approved, paid, and moved on by the operator.
async fn live(clients: Clients, tally: Arc<Tally>) {
    let mut number = 0;
    while !tally.stop.load(Ordering::Relaxed) {
        number += 1;
        let name = format!("lawful-{number}");
        let made = requests(&clients[ALICE]).create(&PostParams::default(), &request(&name, "CrmExport")).await;
        if made.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        for (who, status) in [
            (OPERATOR, json!({"phase": "AwaitingApproval"})),
            (ALICE, json!({"approval": {"decision": "Approved"}})),
            (BILLING, json!({"conditions": paid("True")})),
            (OPERATOR, json!({"phase": "Queued"})),
        ] {
            if merge(&clients, who, &name, &status).await.is_ok() {
                tally.lawful.fetch_add(1, Ordering::Relaxed);
            }
        }
        requests(&clients[ALICE]).delete(&name, &kube::api::DeleteParams::default()).await.ok();
    }
}
