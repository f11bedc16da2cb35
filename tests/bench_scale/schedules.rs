//! All schedules as they are after a week: every tenant with seven backups, the last slot run and the next one known. One
//! BackupSchedule goes through the API, status and all, by the operator's own ways; the rest are its likes, put into etcd.

use crate::etcd::Etcd;
use crate::process::Process;
use crate::rest::calm;
use crate::scope::Scope;
use crate::tier;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use sennight_api::restore_report::AuditHead;
use sennight_api::{BackupSchedule, RestoreRequest};
use sennight_core::schedule::{Schedule, Window};
use sennight_operator::request::audit_state::audit_state;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::cluster::{self, BILLING, HELPDESK, OPERATOR};
use testkit::{Bucket, env};

/// DatabaseServers; a tenant in so many shares one.
const TENANTS_A_SERVER: usize = 500;
/// Stands for a tenant's name, id and database in the first one, and is replaced in its likes.
const NAME: &str = "t0000000";
/// Backups that each has.
const BACKUPS: u32 = 7;

/// Where the schedules are.
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// The operator's kubeconfig.
    pub kubeconfig: String,
    /// The administrator.
    pub admin: Client,
    /// Its bucket.
    pub bucket: Bucket,
}

/// When the tenants are due.
#[derive(Debug, Clone)]
pub struct Shape {
    /// How many.
    pub tenants: usize,
    /// Its instant.
    pub now: DateTime<Utc>,
    /// `windowStart`.
    pub start: String,
    /// `window`.
    pub window: String,
    /// `maxConcurrentDumps` of each server.
    pub dumps: i32,
}

impl Shape {
    fn servers(&self) -> usize {
        (self.tenants / TENANTS_A_SERVER).max(2)
    }

    fn schedule(&self, namespace: &str, name: &str) -> Schedule {
        let window = Window::parse(Some(&self.start), Some(&self.window)).unwrap();
        Schedule::parse("@daily", "Etc/UTC", window, &[namespace, name]).unwrap()
    }
}

/// A tenant's name.
pub fn name(number: usize) -> String {
    format!("t{number:07}")
}

impl Place {
    /// A namespace with a storage that works and servers that nobody connects to.
    pub async fn new(test: &str, shape: &Shape) -> Self {
        let people = [(HELPDESK, "sennight-helpdesk"), (BILLING, "sennight-billing"), (OPERATOR, "sennight-operator")];
        let namespace = cluster::namespace(test, &people);
        let bucket = Bucket::create().await;
        let place =
            Self { kubeconfig: cluster::kubeconfig(OPERATOR), admin: cluster::client("").await, namespace, bucket };
        let target = &place.bucket.target;
        let storage = json!({
            "bucket": target.bucket, "prefix": target.prefix, "endpoint": target.endpoint, "forcePathStyle": true,
            "credentialsSecretRef": {"name": "s3"}
        });
        let server = json!({
            "engine": "PostgreSQL", "host": "db.invalid", "dumpCredentialsSecretRef": {"name": "pg"},
            "maxConcurrentDumps": shape.dumps
        });
        let mut documents = vec![place.secret(), place.leader(), place.object("BackupStorage", "main", &storage)];
        documents
            .extend((0..shape.servers()).map(|n| place.object("DatabaseServer", &format!("server-{n:03}"), &server)));
        cluster::apply(&documents.join("\n---\n"));
        place
    }

    /// The flags of an operator for this place only.
    pub fn flags(&self, more: &[&str]) -> Vec<String> {
        let own = [
            format!("--namespace={}", self.namespace),
            format!("--watch-namespaces={}", self.namespace),
            // A busy machine starves a process for seconds.
            "--lease-duration=60s".to_owned(),
            "--lease-renew-deadline=40s".to_owned(),
        ];
        own.into_iter().chain(more.iter().map(|flag| (*flag).to_owned())).collect()
    }

    fn object(&self, kind: &str, name: &str, spec: &Value) -> String {
        cluster::object(&self.namespace, kind, name, spec)
    }

    fn secret(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": self.namespace},
            "stringData": {
                "AWS_ACCESS_KEY_ID": env("SENNIGHT_TEST_S3_ACCESS_KEY"),
                "AWS_SECRET_ACCESS_KEY": env("SENNIGHT_TEST_S3_SECRET_KEY")
            }
        })
        .to_string()
    }

    /// The operator's Lease is in this namespace, not in its own.
    fn leader(&self) -> String {
        let metadata = json!({"name": "leader", "namespace": self.namespace});
        let group = "rbac.authorization.k8s.io";
        let rights = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update", "patch"]});
        let role =
            json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [rights]});
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "leader"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": OPERATOR}]
        });
        format!("{role}\n---\n{binding}")
    }

    /// Fills it with tenants.
    pub async fn tenants(&self, shape: &Shape) {
        let began = Instant::now();
        let first = self.first(shape).await;
        let text = first.to_string();
        let uid = first["metadata"]["uid"].as_str().unwrap().to_owned();
        let created = first["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
        let namespace = self.namespace.clone();
        let (shape, servers) = (shape.clone(), shape.servers());
        let days = shape.now.checked_sub_days(Days::new(30)).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let tenants = shape.tenants;
        // Number 0 is the first one.
        let objects = (1..tenants).map(move |number| {
            let name = name(number);
            let mut text = text
                .replace(NAME, &name)
                .replace(&uid, &uuid())
                .replace("server-000", &format!("server-{:03}", number % servers))
                .replace(&format!("\"creationTimestamp\":\"{created}\""), &format!("\"creationTimestamp\":\"{days}\""));
            for (token, value) in times(&shape, &shape.schedule(&namespace, &name)) {
                text = text.replace(&token, &value);
            }
            (format!("/registry/sennight.dev/backupschedules/{namespace}/{name}"), text)
        });
        Etcd::of_tier().put(objects).await;
        println!(
            "{tenants} BackupSchedules of {} bytes in {:.1} s",
            first.to_string().len(),
            began.elapsed().as_secs_f64()
        );
    }

    /// Has the API server serve what was put into etcd behind its back: it is started anew. A transaction of puts is one revision
    /// for all of them, as no API client makes it, and a list that is begun among those loses some that share one.
    pub async fn serve(&self, shape: &Shape, requests: usize) {
        tier::restart("apiserver", &[]);
        self.there("backupschedules", shape.tenants).await;
        self.there("restorerequests", requests.saturating_sub(1)).await;
        // It decodes for minutes what it reads in seconds: an operator that starts meanwhile waits for it.
        calm(Process::of_tier("apiserver"), 0.6, Duration::from_mins(10)).await;
    }

    /// Through the API, status and all.
    async fn first(&self, shape: &Shape) -> Value {
        let spec = json!({
            "tenant": {"id": NAME, "owner": "1", "plan": {"name": "free"}}, "timeZone": "Etc/UTC",
            "database": {"serverRef": {"name": "server-000"}, "name": NAME}, "storageRef": {"name": "main"},
            "windowStart": shape.start, "window": shape.window
        });
        cluster::apply(&self.object("BackupSchedule", NAME, &spec));
        let api: Api<BackupSchedule> = Api::namespaced(cluster::client(OPERATOR).await, &self.namespace);
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
                "lastTransitionTime": "2001-01-01T00:00:00Z"
            })
        };
        let point = |n: u32| {
            json!({
                "id": format!("200101{:02}T000000Z-deadbeef", n + 1), "day": format!("2001-01-{:02}", n + 1),
                "snapshotTime": format!("2001-01-{:02}T00:00:00Z", n + 1), "bytes": 123_456_789, "rows": 250_000,
                "tables": 60, "manifestSha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "prefix": format!("backups/daily/{}/{NAME}/200101{:02}T000000Z-deadbeef/", self.namespace, n + 1),
                "expiresAt": format!("2002-01-{:02}T00:00:00Z", n + 1), "held": false
            })
        };
        let status = json!({
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", "True", "Scheduled", "the next dump is at status.nextRunTime"),
                condition("Fresh", "True", "BackupIsFresh", "the newest backup is younger than a slot interval and 2 h"),
                condition("Suspicious", "False", "NothingUnusual", "the newest backup is not much smaller than the last good one before it")
            ],
            "nextRunTime": "2003-01-01T00:00:00Z", "lastSuccessfulTime": "2001-01-01T00:00:00Z",
            "consecutiveFailures": 0, "catalogueTime": "2001-01-01T00:00:00Z",
            "lastRun": {
                "key": "20010101T000000Z-a1", "slot": "2001-01-01T00:00:00Z", "day": "2001-01-01",
                "job": "d0123456789abcdef0123", "jobUid": "5f4dcc3b-5aa7-65d6-1d83-27deb882cf99", "attempt": 1,
                "startedAt": "2001-01-01T00:00:00Z", "finishedAt": "2001-01-01T00:00:00Z", "outcome": "Succeeded"
            },
            "backups": (0..BACKUPS).map(point).collect::<Vec<_>>()
        });
        let object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": NAME}, "status": status
        });
        let params = PatchParams::apply("sennight").force();
        let made = api.patch_status(NAME, &params, &Patch::Apply(&object)).await.unwrap();
        let mut first = serde_json::to_value(&made).unwrap();
        let own = first.clone();
        first["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        // Number 0 itself is a tenant like the others.
        let mut status = own["status"].to_string();
        for (token, value) in times(shape, &shape.schedule(&self.namespace, NAME)) {
            status = status.replace(&token, &value);
        }
        let object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": NAME},
            "status": serde_json::from_str::<Value>(&status).unwrap()
        });
        api.patch_status(NAME, &params, &Patch::Apply(&object)).await.unwrap();
        first
    }

    /// Fills it with requests that were denied.
    pub async fn requests(&self, shape: &Shape, number: usize) {
        if number == 0 {
            return;
        }
        let api: Api<RestoreRequest> = Api::namespaced(cluster::client(HELPDESK).await, &self.namespace);
        let mut first = cluster::request("r0000000", "CrmExport");
        first.spec.requested_by = (!cluster::stamps()).then(|| HELPDESK.to_owned());
        let made = api.create(&kube::api::PostParams::default(), &first).await.unwrap();
        let mut first = serde_json::to_value(&made).unwrap();
        first["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let ended = (shape.now - TimeDelta::days(2)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": "the helpdesk said no", "observedGeneration": 1,
                "lastTransitionTime": ended
            })
        };
        first["status"] = json!({
            "observedGeneration": 1, "tenant": NAME, "phase": "Denied", "finishedAt": ended,
            "approval": {"decision": "Denied", "by": HELPDESK, "reason": "not the owner"},
            "conditions": [
                condition("Eligible", "True", "Eligible"), condition("Approved", "False", "Denied"),
                condition("Held", "False", "Released"), condition("Progressing", "False", "Denied"),
                condition("Complete", "False", "Denied"), condition("Failed", "False", "Denied"),
                condition("RefundDue", "False", "NothingPaid")
            ],
            "history": (0..6).map(|n| json!({"time": ended, "event": "Denied", "message": format!("step {n} of a life that ended in a denial")})).collect::<Vec<_>>()
        });
        let text = first.to_string();
        let uid = first["metadata"]["uid"].as_str().unwrap().to_owned();
        let namespace = self.namespace.clone();
        let tenants = shape.tenants;
        let objects = (1..number).map(move |n| {
            let request = format!("r{n:07}");
            let text = text
                .replace("r0000000", &request)
                .replace(&uid, &uuid())
                .replace("\"acme\"", &format!("\"{}\"", name(n % tenants)));
            let text = recorded(&text);
            (format!("/registry/sennight.dev/restorerequests/{namespace}/{request}"), text)
        });
        Etcd::of_tier().put(objects).await;
        // The first one went the lawful way and is open: it would be looked after.
        api.delete("r0000000", &kube::api::DeleteParams::default()).await.ok();
    }

    /// Deletes the schedules, if another part of the run comes after this one. An operator must not be there any more.
    pub async fn leave(&self, followed: bool) {
        if !followed {
            return;
        }
        for plural in ["backupschedules", "restorerequests"] {
            Etcd::of_tier().clear(&format!("/registry/sennight.dev/{plural}/{}/", self.namespace)).await;
        }
    }

    /// Waits until the API server serves them all.
    async fn there(&self, plural: &str, wanted: usize) {
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            let path = format!("/apis/sennight.dev/v1alpha1/namespaces/{}/{plural}?limit=1", self.namespace);
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            // The first one may be sent on a connection to the server before.
            let list: Value = self.admin.request(request).await.unwrap_or_default();
            let rest = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize;
            let here = list["items"].as_array().map_or(0, Vec::len) + rest;
            if here >= wanted {
                return;
            }
            assert!(Instant::now() < deadline, "the API server serves {here} of {wanted} {plural}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// A request whose record is kept: status names its last entry and the state that it tells of, so nobody writes another one.
fn recorded(text: &str) -> String {
    let mut request: RestoreRequest = serde_json::from_str(text).unwrap();
    let state = audit_state(&request).digest();
    let head = AuditHead { storage: "main".to_owned(), seq: 1, sha256: "0".repeat(64), state };
    request.status.as_mut().unwrap().audit = Some(head.clone());
    assert_eq!(audit_state(&request).digest(), head.state, "the head is no part of what it tells of");
    let mut object: Value = serde_json::from_str(text).unwrap();
    object["status"]["audit"] = serde_json::to_value(head).unwrap();
    object.to_string()
}

/// What stands for a time in the first one, and a tenant's own.
fn times(shape: &Shape, schedule: &Schedule) -> Vec<(String, String)> {
    let last = schedule.latest_due(shape.now).unwrap();
    let next = schedule.next_after(shape.now).unwrap();
    let day = |n: u32| NaiveDate::from_ymd_opt(2001, 1, n + 1).unwrap();
    let second = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut all = vec![("2003-01-01T00:00:00Z".to_owned(), second(next))];
    for n in 0..BACKUPS {
        let slot = last - TimeDelta::days(n.into());
        let expires = slot.date_naive().checked_add_days(Days::new(8)).unwrap();
        all.push((format!("{}T00:00:00Z", day(n)), second(slot)));
        all.push((format!("{}T000000Z", day(n).format("%Y%m%d")), slot.format("%Y%m%dT%H%M%SZ").to_string()));
        all.push((format!("2002-01-{:02}T00:00:00Z", n + 1), format!("{expires}T00:00:00Z")));
        all.push((day(n).to_string(), slot.date_naive().to_string()));
    }
    all
}

fn uuid() -> String {
    let (a, b) = (rand::random::<u64>(), rand::random::<u64>());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0xfff,
        b & 0xffff_ffff_ffff
    )
}

/// The schedules of a scope at rest: nobody is due for hours.
pub fn at_rest(scope: &Scope) -> Shape {
    let now = Utc::now();
    let start = (now + TimeDelta::hours(4)).format("%H:00").to_string();
    Shape { tenants: scope.schedules, now, start, window: "6h".to_owned(), dumps: 2 }
}
