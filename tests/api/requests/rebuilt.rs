//! A cluster that was lost: a new one takes its prefix over and finds its backups, by the steps of docs/storage.md.

use chrono::Utc;
use kube::api::Api;
use sennight_api::BackupStorage;
use sennight_api::ConditionStatus::{True, Unknown};
use sennight_core::prefix_owner::{OwnerMarker, PrefixOwner};
use sennight_storage::PutOptions;
use serde_json::json;
use testkit::cluster::{kubectl_ok, until};
use testkit::world::{World, condition};

const LOST: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_cluster_takes_the_prefix_over_and_finds_the_lost_ones_backups() {
    let world = World::on_servers("rebuilt").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    // The lost cluster had the same names, and another namespace kube-system.
    let owner = PrefixOwner { cluster: "lost".into(), namespace: world.namespace.clone(), storage: "main".into() };
    let store = world.bucket().store().await;
    let marker = OwnerMarker::new(LOST.to_owned(), owner, Utc::now());
    store.put_json(&store.keys().owner(), &marker, &PutOptions::json()).await.unwrap();
    let _operator = world.operator(&[]);
    let storages: Api<BackupStorage> = world.api();
    let says = async |reason: &str| {
        until(&format!("the storage says {reason}"), async || {
            condition(&storages, "main", "Ready").await.is_some_and(|ready| ready.reason == reason)
        })
        .await;
    };
    says("PrefixTaken").await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    let name = ["-n", world.namespace.as_str()];
    until("the request says why it cannot go on", async || {
        let conditions = world.get("r").await.status.unwrap_or_default().conditions;
        conditions.iter().any(|c| {
            c.type_ == "Eligible"
                && c.status == Unknown
                && c.message.as_deref().is_some_and(|m| m.contains("does not own its prefix"))
        })
    })
    .await;

    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
    let message = kubectl_ok(&[&name[..], &["get", "bstore", "main", "-o", ready]].concat(), "");
    assert!(message.contains(LOST), "{message}");
    let patch = json!({"spec": {"takeOver": LOST}}).to_string();
    kubectl_ok(&[&name[..], &["patch", "bstore", "main", "--type=merge", "-p", &patch]].concat(), "");
    says("BucketUsable").await;
    world.says("r", "Eligible", True, "Possible").await;
}
