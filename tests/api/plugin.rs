//! `kubectl sennight` as helpdesk and billing type it: the real binary, users of their own, the real API server with the
//! admission policies.

mod more;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use testkit::cluster::{self, Turn, kubectl_ok};
use testkit::env;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A namespace with a tenant's schedule, a helpdesk user and a billing user.
struct PluginUsers {
    namespace: String,
    hanna: User,
    bill: User,
    _turn: Turn,
}

/// Somebody with a kubeconfig of their own.
struct User {
    name: String,
    kubeconfig: String,
}

impl PluginUsers {
    async fn new(test: &str) -> Self {
        let turn = Turn::among().await;
        let (hanna, bill) = (cluster::name("hanna"), cluster::name("bill"));
        let people = [(hanna.as_str(), "sennight-helpdesk"), (bill.as_str(), "sennight-billing")];
        let namespace = cluster::namespace(&format!("plugin-{test}"), &people);
        let user = |name: String| User { kubeconfig: cluster::kubeconfig(&name), name };
        let world = Self { namespace, hanna: user(hanna), bill: user(bill), _turn: turn };
        world.create(&json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "acme"},
            "spec": {
                "tenant": {"id": "acme-corp", "owner": "17", "plan": {"name": "Standard"}},
                "database": {"serverRef": {"name": "pg-1"}, "name": "crm"}, "storageRef": {"name": "main"}
            }
        }));
        world
    }

    fn create(&self, object: &Value) {
        kubectl_ok(&["-n", &self.namespace, "create", "-f", "-"], &object.to_string());
    }

    /// A request that the operator has looked at.
    fn request(&self, name: &str, mode: &str) {
        self.unseen(name, mode);
        self.status(
            name,
            &json!({
                "tenant": "acme-corp", "phase": "AwaitingApproval", "waitingOn": "Helpdesk", "deadline": "2099-01-01T00:00:00Z",
                "backup": {
                    "id": "20261120T021000Z-1a2b3c4d", "prefix": "daily/x/acme/20261120T021000Z-1a2b3c4d/", "day": "2026-11-20",
                    "snapshotTime": "2026-11-20T02:10:00Z", "bytes": 1024, "rows": 42, "manifestSha256": "ab".repeat(32)
                },
                "conditions": [{"type": "Eligible", "status": "True", "reason": "Eligible"}]
            }),
        );
    }

    fn unseen(&self, name: &str, mode: &str) {
        let mut spec = json!({
            "scheduleRef": {"name": "acme"}, "mode": mode, "date": "2026-11-20", "requester": {"userId": "17"},
            "ticket": {"id": "4711"}, "reason": "All deals were merged"
        });
        if mode == "FullRestore" {
            spec["acknowledgeDataLoss"] = true.into();
        }
        self.create(&json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name}, "spec": spec
        }));
    }

    /// Writes the operator's part of the status.
    fn status(&self, name: &str, status: &Value) {
        let object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
            "metadata": {"name": name, "namespace": self.namespace}, "status": status
        });
        let apply = ["apply", "--server-side", "--subresource=status", "--field-manager=sennight", "-f", "-"];
        kubectl_ok(&apply, &object.to_string());
    }

    fn get(&self, name: &str) -> Value {
        serde_json::from_str(&kubectl_ok(&["-n", &self.namespace, "get", "rreq", name, "-o", "json"], "")).unwrap()
    }

    fn run(&self, who: &User, line: &str) -> Output {
        self.command(who, line).output().unwrap()
    }

    fn command(&self, who: &User, line: &str) -> Command {
        let mut command = Command::new(testkit::binary("kubectl-sennight"));
        command
            .env("KUBECONFIG", &who.kubeconfig)
            .args(["-n", &self.namespace])
            .args(line.split(' '))
            .stdin(Stdio::null());
        command
    }

    /// Runs, insists on the exit code, and gives all that was printed.
    fn expect(&self, who: &User, line: &str, code: i32) -> String {
        let output = self.run(who, line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output));
        text(&output)
    }
}

#[tokio::test]
async fn i6_helpdesk_approves_billing_settles_and_neither_does_the_others_part() {
    let world = PluginUsers::new("gate").await;
    world.request("t-1", "CrmExport");
    let line = "settle t-1 --reference INV-9 --amount 49.00 --currency EUR";
    assert!(world.expect(&world.hanna, line, 3).contains("sennight:"));
    assert!(world.expect(&world.bill, "approve t-1", 3).contains("sennight:"));

    let listed = world.expect(&world.hanna, "list --awaiting approval -o name", 0);
    assert_eq!(listed, "restorerequest.sennight.dev/t-1\n");
    let shown = world.expect(&world.hanna, "approve t-1 --reason owner-called", 0);
    for said in ["acme-corp", "the account's owner", "backup 20261120T021000Z-1a2b3c4d", "t-1 approved\n"] {
        assert!(shown.contains(said), "{said}\n{shown}");
    }
    let approval = world.get("t-1")["status"]["approval"].clone();
    assert_eq!(approval["decision"], "Approved");
    assert_eq!(approval["by"], world.hanna.name);
    assert_eq!(approval["reason"], "owner-called");

    let settled = world.expect(&world.bill, line, 0);
    assert!(settled.contains("restorerequest.sennight.dev/t-1 settled\n"), "{settled}");
    let status = world.get("t-1")["status"].clone();
    assert_eq!(status["payment"]["reference"], "INV-9");
    assert_eq!(status["payment"]["by"], world.bill.name);
    let kinds: Vec<&str> =
        status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 2, "the operator's condition is still there: {kinds:?}");
    assert!(kinds.contains(&"Paid"));

    // A charge-back takes it away again, what was recorded stays.
    world.expect(&world.bill, "settle t-1 --reference INV-9 --charged-back", 0);
    let status = world.get("t-1")["status"].clone();
    let paid = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Paid").unwrap().clone();
    assert_eq!((paid["status"].as_str(), paid["reason"].as_str()), (Some("False"), Some("ChargedBack")));
    assert_eq!(status["payment"]["amount"], "49.00");
}

#[tokio::test]
async fn a_full_restore_is_not_approved_without_a_person_or_yes() {
    let world = PluginUsers::new("full").await;
    world.request("t-2", "FullRestore");
    let refused = world.expect(&world.hanna, "approve t-2", 5);
    assert!(refused.contains("Will be lost") && refused.contains("--yes"), "{refused}");
    let dry = world.expect(&world.hanna, "approve t-2 --dry-run=server", 0);
    assert!(dry.contains("approved (server dry run)"), "{dry}");
    let dry = world.run(&world.hanna, "approve t-2 --dry-run=client -o json");
    let body: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(body["status"]["approval"]["decision"], "Approved");
    assert_eq!(world.get("t-2")["status"].get("approval"), None, "nothing was written");
    world.expect(&world.hanna, "approve t-2 --yes", 0);
    assert_eq!(world.get("t-2")["status"]["approval"]["decision"], "Approved");
}

#[tokio::test]
async fn a_denial_is_final() {
    let world = PluginUsers::new("deny").await;
    world.request("t-3", "CrmExport");
    world.expect(&world.hanna, "deny t-3", 2);
    world.expect(&world.hanna, "deny t-3 --reason not-the-owner", 0);
    assert_eq!(world.get("t-3")["status"]["approval"]["reason"], "not-the-owner");
    assert!(world.expect(&world.hanna, "approve t-3", 1).contains("final"));
}

#[tokio::test]
async fn what_is_not_there_or_not_yet_ready_says_so() {
    let world = PluginUsers::new("early").await;
    world.unseen("t-4", "CrmExport");
    assert!(world.expect(&world.hanna, "approve t-4", 1).contains("has not looked at this request yet"));
    assert!(world.expect(&world.hanna, "explain t-4", 0).contains("has not looked at it yet"));
    assert!(world.expect(&world.hanna, "approve nobody", 4).contains("does not exist"));
    assert!(world.expect(&world.hanna, "link t-4", 1).contains("not finished"));
    world.expect(&world.hanna, "list -A", 3);
    world.expect(&world.hanna, "aprove t-4", 2);
    assert!(world.expect(&world.bill, "list --awaiting refund", 0).contains("No RestoreRequests found"));
}

#[tokio::test]
async fn list_and_explain_answer_people_and_programs() {
    let world = PluginUsers::new("list").await;
    world.request("t-5", "FullRestore");
    let table = world.expect(&world.hanna, "list", 0);
    assert!(table.starts_with("NAME   TENANT      MODE          DATE         PHASE"), "{table}");
    assert!(table.contains("\nt-5    acme-corp   FullRestore   2026-11-20   AwaitingApproval   Helpdesk"), "{table}");
    let list: Value = serde_json::from_str(&world.expect(&world.hanna, "list -o json", 0)).unwrap();
    assert_eq!(list["items"][0]["metadata"]["name"], "t-5");
    assert!(world.expect(&world.hanna, "list -o yaml", 0).contains("phase: AwaitingApproval"));
    let text = world.expect(&world.hanna, "explain t-5", 0);
    assert!(text.starts_with("Ticket 4711: user 17 asked for the whole database of tenant acme-corp back"), "{text}");
    let told: Value = serde_json::from_str(&world.expect(&world.hanna, "explain t-5 -o json", 0)).unwrap();
    assert_eq!((told["waitingOn"].as_str(), told["text"].as_str()), (Some("Helpdesk"), Some(text.trim_end())));
    assert!(world.expect(&world.hanna, "completion bash", 0).contains("kubectl-sennight"));
}

/// A GET over plain HTTP: what a browser would do with the link.
fn download(url: &str) -> (String, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

#[tokio::test]
async fn a_link_reads_the_export_with_the_callers_own_credentials_and_is_kept_nowhere() {
    let world = PluginUsers::new("link").await;
    world.request("t-6", "CrmExport");
    let (endpoint, bucket) = (env("SENNIGHT_TEST_S3_ENDPOINT"), format!("b-{:016x}", rand::random::<u64>()));
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(&endpoint)
        .force_path_style(true)
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            env("SENNIGHT_TEST_S3_ACCESS_KEY"),
            env("SENNIGHT_TEST_S3_SECRET_KEY"),
            None,
            None,
            "test",
        ))
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let key = "exports/x/uid/acme-corp_2026-11-20_t-6.zip";
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"zip");
    client.put_object().bucket(&bucket).key(key).body(body).send().await.unwrap();
    world.create(&json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "main"},
        "spec": {"bucket": bucket, "endpoint": endpoint, "forcePathStyle": true}
    }));
    world.status(
        "t-6",
        &json!({
            "tenant": "acme-corp", "phase": "Complete", "waitingOn": "Nobody", "deadline": "2099-01-01T00:00:00Z",
            "backup": world.get("t-6")["status"]["backup"], "result": {"key": key, "bytes": 3},
            "conditions": [{"type": "Eligible", "status": "True", "reason": "Eligible"}]
        }),
    );
    let link = |line: &str, secret: &str| {
        let mut command = world.command(&world.hanna, line);
        command.env("AWS_ACCESS_KEY_ID", env("SENNIGHT_TEST_S3_ACCESS_KEY")).env("AWS_SECRET_ACCESS_KEY", secret);
        command.output().unwrap()
    };
    let before = world.get("t-6");
    let made = link("link t-6 --expires-in 5m", &env("SENNIGHT_TEST_S3_SECRET_KEY"));
    assert!(made.status.success(), "{}", text(&made));
    let url = String::from_utf8(made.stdout.clone()).unwrap();
    assert!(url.contains("X-Amz-Expires=300"), "{url}");
    let (head, body) = download(url.trim());
    assert!(head.starts_with("HTTP/1.1 200") && body == b"zip", "{head}");
    assert!(head.contains("acme-corp_2026-11-20_t-6.zip"), "{head}");
    assert_eq!(world.get("t-6"), before, "a link is kept nowhere");
    let wrong = link("link t-6", "wrong");
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(1), true), "{}", text(&wrong));
    assert_eq!(link("link t-6 --expires-in 8d", "x").status.code(), Some(2));
}
