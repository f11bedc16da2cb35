//! `refund`, `status` and completion, as their users type them.

use super::PluginUsers;
use serde_json::{Value, json};
use testkit::cluster::{kubectl, kubectl_ok};

fn ended(paid: bool) -> Value {
    let mut conditions = vec![json!({"type": "Eligible", "status": "True", "reason": "Possible"})];
    if paid {
        conditions.push(json!({"type": "RefundDue", "status": "True", "reason": "PaidAndNotDelivered"}));
    }
    json!({
        "tenant": "acme-corp", "phase": "Expired", "waitingOn": "Billing", "deadline": "2099-01-01T00:00:00Z",
        "finishedAt": "2026-11-22T11:00:00Z", "conditions": conditions
    })
}

#[tokio::test]
async fn i6_a_refund_is_billings_and_only_of_what_was_paid_and_has_ended() {
    let world = PluginUsers::new("refund").await;
    world.request("t-1", "CrmExport");
    assert!(world.expect(&world.bill, "refund t-1 --reference R-1", 1).contains("not paid"));
    world.expect(&world.bill, "settle t-1 --reference INV-9 --amount 49.00 --currency EUR", 0);
    let early = world.expect(&world.bill, "refund t-1 --reference R-1", 1);
    assert!(early.contains("has not ended") && early.contains("deny"), "{early}");
    let mut status = ended(true);
    status["backup"] = world.get("t-1")["status"]["backup"].clone();
    world.status("t-1", &status);
    assert!(world.expect(&world.hanna, "refund t-1 --reference R-1", 3).contains("sennight:"));
    assert_eq!(world.expect(&world.bill, "list --awaiting refund -o name", 0), "restorerequest.sennight.dev/t-1\n");
    let dry = world.expect(&world.bill, "refund t-1 --reference R-1 --dry-run=server", 0);
    assert!(dry.contains("refunded (server dry run)"), "{dry}");
    let told = world.expect(&world.bill, "refund t-1 --reference R-1", 0);
    assert!(told.contains("acme-corp") && told.contains("t-1 refunded\n"), "{told}");
    let payment = world.get("t-1")["status"]["payment"].clone();
    assert_eq!((&payment["refund"]["reference"], &payment["reference"]), (&json!("R-1"), &json!("INV-9")));
    assert!(world.expect(&world.bill, "refund t-1 --reference R-2", 1).contains("recorded already: R-1"));
}

/// A BackupSchedule with this status.
fn schedule(world: &PluginUsers, name: &str, suspend: bool, status: &Value) {
    world.create(&json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": name},
        "spec": {
            "tenant": {"id": format!("id-{name}"), "owner": "17", "plan": {"name": "Standard"}}, "suspend": suspend,
            "database": {"serverRef": {"name": "pg-1"}, "name": name}, "storageRef": {"name": "main"}
        }
    }));
    let patch = json!({"status": status}).to_string();
    let arguments =
        ["-n", &world.namespace, "patch", "bsched", name, "--subresource=status", "--type=merge", "-p", &patch];
    kubectl_ok(&arguments, "");
}

#[tokio::test]
async fn status_says_on_one_screen_whether_everybody_is_backed_up() {
    let world = PluginUsers::new("status").await;
    let fresh = |status: &str, reason: &str| json!([{"type": "Fresh", "status": status, "reason": reason}]);
    let point = json!({
        "id": "20261120T021000Z-1a2b3c4d", "day": "2026-11-20", "snapshotTime": "2026-11-20T02:10:00Z", "bytes": 2048, "rows": 1,
        "manifestSha256": "ab".repeat(32)
    });
    schedule(
        &world,
        "good",
        false,
        &json!({
            "conditions": fresh("True", "BackupFresh"), "lastSuccessfulTime": "2026-11-20T02:10:00Z", "backups": [point]
        }),
    );
    schedule(&world, "sleeping", true, &json!({"conditions": fresh("Unknown", "Suspended")}));
    // One that nobody has looked at, as it was made, is not well.
    let text = world.expect(&world.hanna, "status", 0);
    assert!(text.contains("Tenants:       3 (1 suspended)\n") && text.contains("Backups:       1, 2.0 KiB"), "{text}");
    assert!(text.contains("acme-corp   never         0          NotLookedAtYet"), "{text}");
    world.expect(&world.hanna, "status --exit-code", 7);
    kubectl_ok(&["-n", &world.namespace, "delete", "bsched", "acme"], "");
    assert!(world.expect(&world.bill, "status --exit-code", 0).contains("Everybody is backed up."));
    schedule(
        &world,
        "late",
        false,
        &json!({
            "conditions": fresh("False", "BackupTooOld"), "lastSuccessfulTime": "2026-11-18T02:10:00Z", "consecutiveFailures": 3,
            "lastFailure": {"time": "2026-11-20T02:10:00Z", "reason": "ServerUnreachable", "message": "no route"}
        }),
    );
    let told = world.run(&world.hanna, "status -o json");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["backedUp"], &told["notBackedUp"], &told["failing"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(told["lookAt"][0]["why"], "ServerUnreachable");
    assert_eq!(world.expect(&world.hanna, "status -o name", 0), "backupschedule.sennight.dev/late\n");
    world.expect(&world.hanna, "status -A", 3);
}

#[tokio::test]
async fn the_shell_proposes_what_fits() {
    let world = PluginUsers::new("complete").await;
    world.request("t-1", "CrmExport");
    world.unseen("t-2", "CrmExport");
    let ask = |words: &[&str]| {
        let mut command = world.command(&world.hanna, "__complete");
        let output = command.arg("--").args(["-n", &world.namespace]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask(&["approve", ""]), "t-1\tacme-corp, CrmExport, AwaitingApproval, ticket 4711\n:4\n");
    let all = ask(&["explain", "t-"]);
    assert!(all.contains("t-1\t") && all.contains("t-2\tacme, CrmExport, new, ticket 4711\n"), "{all}");
    assert_eq!(ask(&["refund", ""]), ":4\n");
    assert!(ask(&["re"]).starts_with("refund\tRecord a refund"));
}

#[tokio::test]
async fn what_is_written_for_one_request_is_refused_for_its_namesake() {
    let world = PluginUsers::new("namesake").await;
    world.request("t-1", "CrmExport");
    let version = world.get("t-1")["metadata"]["resourceVersion"].clone();
    kubectl_ok(&["-n", &world.namespace, "delete", "rreq", "t-1"], "");
    world.request("t-1", "CrmExport");
    // What the plugin sends after it has shown the one that is gone: a UID would not be looked at, this is.
    let (namespace, who) = (world.namespace.as_str(), world.hanna.kubeconfig.as_str());
    let approve =
        json!({"metadata": {"resourceVersion": version}, "status": {"approval": {"decision": "Approved"}}}).to_string();
    let patch = [
        "--kubeconfig",
        who,
        "-n",
        namespace,
        "patch",
        "rreq",
        "t-1",
        "--subresource=status",
        "--type=merge",
        "-p",
        &approve,
    ];
    assert!(!kubectl(&patch, "").status.success());
    let paid = json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
        "metadata": {"name": "t-1", "namespace": namespace, "resourceVersion": version},
        "status": {"conditions": [{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}]}
    });
    let bill = world.bill.kubeconfig.as_str();
    let apply =
        ["--kubeconfig", bill, "apply", "--server-side", "--subresource=status", "--field-manager=billing", "-f", "-"];
    assert!(!kubectl(&apply, &paid.to_string()).status.success());
    let status = world.get("t-1")["status"].clone();
    assert_eq!((status.get("approval"), status["conditions"].as_array().map(Vec::len)), (None, Some(1)));
    world.expect(&world.hanna, "approve t-1", 0);
}

#[tokio::test]
async fn kubectls_own_completion_asks_the_plugin() {
    let world = PluginUsers::new("kubectl").await;
    world.request("t-1", "CrmExport");
    // As somebody installs it: the binary and the script in a directory of PATH.
    let place = tempfile::tempdir().unwrap();
    let script = testkit::repository().join("plugins/kubectl_complete-sennight");
    for (from, name) in
        [(testkit::binary("kubectl-sennight"), "kubectl-sennight"), (script, "kubectl_complete-sennight")]
    {
        std::os::unix::fs::symlink(from, place.path().join(name)).unwrap();
    }
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    let ask = |words: &[&str]| {
        let mut kubectl = std::process::Command::new(testkit::env("SENNIGHT_TEST_KUBECTL"));
        kubectl
            .env("PATH", &path)
            .env("KUBECONFIG", &world.hanna.kubeconfig)
            .args(["__complete", "sennight"])
            .args(words);
        String::from_utf8(kubectl.output().unwrap().stdout).unwrap()
    };
    assert!(ask(&["app"]).starts_with("approve\tApprove a request"), "{}", ask(&["app"]));
    let names = ask(&["-n", &world.namespace, "approve", ""]);
    assert!(names.starts_with("t-1\tacme-corp, CrmExport"), "{names}");
    assert!(ask(&["list", "--awaiting", ""]).contains("refund"));
}
