//! The operator's own binary against a real API server and a real S3 store: it leads, stands by, takes over, ends; it
//! keeps a bucket's rules in force and says in status what it found.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use testkit::cluster::until;
use testkit::operator::{self, Operator};

use sennight_api::{BackupStorage, ConditionStatus, DatabaseServer, RestoreRequest};
use serde_json::json;
use std::time::Duration;
use testkit::world::{self, SECRET_KEY, World};

/// Short terms, so that a take-over is seen within seconds.
const QUICK: [&str; 3] = ["--lease-duration=4s", "--lease-renew-deadline=2s", "--lease-retry-period=500ms"];

async fn holder(leases: &Api<Lease>) -> Option<String> {
    leases.get_opt("sennight").await.unwrap()?.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_leads_tells_so_and_gives_the_lease_back_on_sigterm() {
    let world = World::on_api("runtime-lead").await;
    let mut operator = Operator::start(&world.namespace, "one", &[]);
    let address = operator.address().await;
    until("the operator is ready", async || operator::get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    assert!(operator::get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    until("the metric says leader", async || {
        operator::get(address, "/metrics").await.contains("\nsennight_leader 1\n")
    })
    .await;
    let leases: Api<Lease> = world.api();
    assert!(holder(&leases).await.unwrap().starts_with("one_"));

    assert_eq!(operator.terminate().await, Some(0), "{}", operator.log());
    assert_eq!(holder(&leases).await, None, "given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_takes_over_when_the_leader_is_killed() {
    let world = World::on_api("runtime-standby").await;
    let leases: Api<Lease> = world.api();
    let mut first = Operator::start(&world.namespace, "first", &QUICK);
    until("the first leads", async || holder(&leases).await.is_some_and(|h| h.starts_with("first_"))).await;
    let mut second = Operator::start(&world.namespace, "second", &QUICK);
    let address = second.address().await;
    until("the standby is ready", async || operator::get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(operator::get(address, "/metrics").await.contains("\nsennight_leader 0\n"), "it only stands by");
    assert!(holder(&leases).await.unwrap().starts_with("first_"));

    first.kill();
    let killed = std::time::Instant::now();
    until("the second leads", async || holder(&leases).await.is_some_and(|h| h.starts_with("second_"))).await;
    assert!(killed.elapsed() >= Duration::from_secs(2), "the Lease was still held");
    let lease = leases.get("sennight").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
    assert_eq!(second.terminate().await, Some(0), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_somebody_took_ends_at_once_and_not_well() {
    let world = World::on_api("runtime-lost").await;
    let leases: Api<Lease> = world.api();
    let mut operator = Operator::start(&world.namespace, "one", &QUICK);
    until("it leads", async || holder(&leases).await.is_some()).await;
    let thief = json!({"spec": {"holderIdentity": "thief"}});
    leases.patch("sennight", &PatchParams::default(), &Patch::Merge(&thief)).await.unwrap();
    assert_eq!(operator.ended().await, Some(1), "{}", operator.log());
    assert!(operator.log().contains("was lost"), "{}", operator.log());
    assert_eq!(holder(&leases).await.as_deref(), Some("thief"), "it did not take it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_becomes_ready_and_its_rules_stand_beside_a_foreign_one_even_after_drift() {
    let world = World::on_api("runtime-storage").await;
    let bucket = world.bucket_with_foreign_rule("storage").await;
    world.credentials("s3", SECRET_KEY.clone()).await;
    let storages: Api<BackupStorage> = world.api();
    world.storage(&storages, "main", &bucket, "tenants").await;
    let mut operator = Operator::start(&world.namespace, "one", &["--storage-interval=2s"]);

    until("Ready and RetentionEnforced", async || {
        world::condition(&storages, "main", "Ready").await.is_some_and(|c| c.is_true())
            && world::condition(&storages, "main", "RetentionEnforced").await.is_some_and(|c| c.is_true())
            && world::condition(&storages, "main", "AuthorityIntact").await.is_some()
    })
    .await;
    let status = storages.get("main").await.unwrap().status.unwrap();
    let found = status.capabilities.unwrap();
    assert!(found.tagging && found.lifecycle && found.conditional_put, "{found:?}");
    assert_eq!(status.foreign_rules, Some(1));
    let daily = status.rules.iter().find(|rule| rule.prefix.as_deref() == Some("tenants/daily/")).unwrap();
    assert_eq!((daily.action.as_str(), daily.tag.as_deref()), ("expire after 7 days", Some("retain=daily")));
    let before = world.rules(&bucket).await;
    assert!(before.contains(&"theirs".to_owned()) && before.len() > 1, "{before:?}");

    world.put_only_foreign_rule(&bucket).await;
    assert_eq!(world.rules(&bucket).await, ["theirs"]);
    until("the drift is repaired", async || world.rules(&bucket).await == before).await;

    storages.delete("main", &DeleteParams::default()).await.unwrap();
    until("it is gone at once", async || storages.get_opt("main").await.unwrap().is_none()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.rules(&bucket).await, before, "deleting a BackupStorage leaves its rules");
    assert_eq!(operator.terminate().await, Some(0), "{}", operator.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_wrong_credentials_show_as_a_condition_and_an_event_and_mend_by_themselves() {
    let world = World::on_api("runtime-creds").await;
    let bucket = world.bucket_with_foreign_rule("creds").await;
    let storages: Api<BackupStorage> = world.api();
    let mut operator = Operator::start(&world.namespace, "one", &[]);
    world.storage(&storages, "main", &bucket, "").await;
    let reason = async |wanted: &str| {
        let ready = world::condition(&storages, "main", "Ready").await;
        ready.is_some_and(|c| c.status == ConditionStatus::False && c.reason == wanted)
    };
    until("the missing Secret is named", async || reason("SecretMissing").await).await;
    world.credentials("s3", "not-the-secret-key".to_owned()).await;
    until("the store's refusal is shown", async || {
        let ready = world::condition(&storages, "main", "Ready").await;
        ready.is_some_and(|c| c.status == ConditionStatus::False && c.reason != "SecretMissing")
    })
    .await;
    let refused = world::condition(&storages, "main", "Ready").await.unwrap();
    assert_eq!(refused.reason, "BadCredentials", "{refused:?}");
    let events: Api<Event> = world.api();
    until("an Event says so", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter().any(|e| e.reason.as_deref() == Some("BadCredentials") && e.type_.as_deref() == Some("Warning"))
    })
    .await;
    world.credentials("s3", SECRET_KEY.clone()).await;
    until("it is Ready", async || world::condition(&storages, "main", "Ready").await.is_some_and(|c| c.is_true()))
        .await;

    assert_eq!(operator.terminate().await, Some(0), "{}", operator.log());
    let all = serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap();
    let status = serde_json::to_string(&storages.get("main").await.unwrap().status).unwrap();
    for secret in [SECRET_KEY.as_str(), "not-the-secret-key"] {
        for (place, text) in [("log", &operator.log()), ("Events", &all), ("status", &status)] {
            assert!(!text.contains(secret), "a secret in the {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_storages_in_one_place_the_older_works_and_the_younger_says_why_not() {
    let world = World::on_api("runtime-overlap").await;
    let bucket = world.bucket_with_foreign_rule("overlap").await;
    world.credentials("s3", SECRET_KEY.clone()).await;
    let storages: Api<BackupStorage> = world.api();
    world.storage(&storages, "older", &bucket, "a").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.storage(&storages, "younger", &bucket, "a/b").await;
    let _operator = Operator::start(&world.namespace, "one", &[]);
    until("the older is Ready", async || {
        world::condition(&storages, "older", "Ready").await.is_some_and(|c| c.is_true())
    })
    .await;
    until("the younger is refused", async || {
        world::condition(&storages, "younger", "Ready").await.is_some_and(|c| c.reason == "OverlappingPrefix")
    })
    .await;
    assert!(!world.rules(&bucket).await.iter().any(|id| id.contains("a/b")));
    let refused = world::condition(&storages, "younger", "Ready").await.unwrap();
    assert!(refused.message.unwrap().contains("BackupStorage \"older\", which was there first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_another_spelling_of_the_endpoint_changes_no_rule_and_takes_over_by_the_id_only() {
    let world = World::on_api("runtime-owner").await;
    let bucket = world.bucket_with_foreign_rule("owner").await;
    world.credentials("s3", SECRET_KEY.clone()).await;
    let storages: Api<BackupStorage> = world.api();
    world.storage(&storages, "victim", &bucket, "p").await;
    let _operator = Operator::start(&world.namespace, "one", &[]);
    let says = async |name: &str, reason: &str| {
        until(&format!("{name} says {reason}"), async || {
            world::condition(&storages, name, "Ready").await.is_some_and(|c| c.reason == reason)
        })
        .await;
        world::condition(&storages, name, "Ready").await.unwrap().message.unwrap()
    };
    says("victim", "BucketUsable").await;
    let rules = world.rules(&bucket).await;
    let victim = storages.get("victim").await.unwrap();
    let mut spec = serde_json::to_value(&victim.spec).unwrap();
    let endpoint = victim.spec.endpoint.clone().unwrap();
    assert!(endpoint.contains("127.0.0.1"), "{endpoint}");
    spec["endpoint"] = json!(endpoint.replace("127.0.0.1", "localhost"));
    spec["retention"] = json!({"days": 1});
    world::apply(&storages, "squatter", spec.clone()).await;
    let refused = says("squatter", "PrefixTaken").await;
    let id = victim.status.unwrap().owner.unwrap().id;
    assert!(refused.contains(&id), "{refused}");
    assert_eq!(world.rules(&bucket).await, rules, "no rule was changed");

    // The storage is gone for good, and its name with it: whoever comes after it says so.
    storages.delete("victim", &kube::api::DeleteParams::default()).await.unwrap();
    spec["takeOver"] = json!(id);
    world::apply(&storages, "squatter", spec).await;
    says("squatter", "BucketUsable").await;
    let owner = storages.get("squatter").await.unwrap().status.unwrap().owner.unwrap();
    assert_ne!(owner.id, id, "an id is taken over once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_s3_identity_serves_only_namespaces_that_are_listed() {
    let world = World::on_api("runtime-ambient").await;
    let storages: Api<BackupStorage> = world.api();
    world::apply(&storages, "ambient", json!({"bucket": "somebodys", "prefix": "p"})).await;
    let _operator = Operator::start(&world.namespace, "one", &[]);
    until("it is refused", async || {
        world::condition(&storages, "ambient", "Ready").await.is_some_and(|c| c.reason == "AmbientIdentityRefused")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_whether_its_spec_makes_sense() {
    let world = World::on_api("runtime-server").await;
    let servers: Api<DatabaseServer> = world.api();
    for (name, engine, tls) in [
        ("good", "MariaDB", json!({})),
        ("bad", "PostgreSQL", json!({"mode": "Disable", "caSecretRef": {"name": "ca"}})),
    ] {
        world::apply(
            &servers,
            name,
            json!({"engine": engine, "host": "db.example", "tls": tls, "dumpCredentialsSecretRef": {"name": "d"}}),
        )
        .await;
    }
    let _operator = Operator::start(&world.namespace, "one", &[]);
    until("both have a verdict", async || {
        let good = world::condition(&servers, "good", "Ready").await;
        let bad = world::condition(&servers, "bad", "Ready").await;
        good.is_some_and(|c| c.is_true()) && bad.is_some_and(|c| c.reason == "TlsDisabled")
    })
    .await;
    let before = servers.get("good").await.unwrap().metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(servers.get("good").await.unwrap().metadata.resource_version, before, "no write without news");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_two_namespaces_serves_both_and_no_third() {
    let one = World::on_api("runtime-one").await;
    let (two, three) =
        (World::on_api("runtime-two").beside(&one).await, World::on_api("runtime-three").beside(&one).await);
    let spec = json!({"engine": "PostgreSQL", "host": "db.example", "dumpCredentialsSecretRef": {"name": "d"}});
    let servers: [Api<DatabaseServer>; 3] = [one.api(), two.api(), three.api()];
    for api in &servers {
        world::apply(api, "early", spec.clone()).await;
    }
    let mut operator = Operator::start(&one.namespace, "one", &[&format!("--watch-namespaces={}", two.namespace)]);
    let ready = async |api: &Api<DatabaseServer>, name: &str| {
        world::condition(api, name, "Ready").await.is_some_and(|c| c.is_true())
    };
    until("both are served", async || ready(&servers[0], "early").await && ready(&servers[1], "early").await).await;
    let address = operator.address().await;
    until("every list is filled", async || operator::get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    for api in &servers {
        world::apply(api, "late", spec.clone()).await;
    }
    until("what comes later, too", async || ready(&servers[0], "late").await && ready(&servers[1], "late").await).await;
    assert!(!ready(&servers[2], "early").await && !ready(&servers[2], "late").await, "the third is not its business");
    assert_eq!(operator.terminate().await, Some(0), "{}", operator.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_the_operator_with_the_charts_rights_finds_the_gate_shut_and_tells_when_it_is_not() {
    let world = World::on_api("runtime-gate").alone().await;
    world.install_chart_rights();
    let bucket = world.bucket_with_foreign_rule("gate").await;
    world.credentials("s3", SECRET_KEY.clone()).await;
    let storages: Api<BackupStorage> = world.api();
    world.storage(&storages, "main", &bucket, "").await;
    let requests: Api<RestoreRequest> = world.api();
    world::apply(
        &requests,
        "probe",
        json!({
            "scheduleRef": {"name": "acme"}, "mode": "CrmExport", "date": "2026-11-20",
            "requester": {"userId": "42"}, "ticket": {"id": "T-1"}, "reason": "a test"
        }),
    )
    .await;
    let account = world.operator_kubeconfig();
    let lease = format!("--lease-name={}", world.namespace);
    let mut operator = Operator::start_as(&account, &world.namespace, "one", &[&lease, "--authority-interval=1s"]);
    let intact = async |status: ConditionStatus, reason: &str| {
        let condition = world::condition(&storages, "main", "AuthorityIntact").await;
        condition.is_some_and(|c| c.status == status && c.reason == reason)
    };
    until("the gate is found shut", async || intact(ConditionStatus::True, "PoliciesInForce").await).await;
    until("the bucket is Ready with the chart's rights", async || {
        world::condition(&storages, "main", "Ready").await.is_some_and(|c| c.is_true())
    })
    .await;
    let address = operator.address().await;
    assert!(operator::get(address, "/metrics").await.contains("\nsennight_authority_intact 1\n"));

    let mend = World::weaken_binding();
    until("the weakened binding is told", async || intact(ConditionStatus::False, "BindingDoesNotDeny").await).await;
    assert!(operator::get(address, "/metrics").await.contains("\nsennight_authority_intact 0\n"));
    drop(mend);
    until("the mended gate is told", async || intact(ConditionStatus::True, "PoliciesInForce").await).await;
    assert_eq!(requests.get("probe").await.unwrap().status.and_then(|s| s.approval), None, "only dry runs");
    assert_eq!(operator.terminate().await, Some(0), "{}", operator.log());
    assert!(!operator.log().contains("forbidden"), "a right is missing in the chart:\n{}", operator.log());
}
