//! The world of a test on the API server: a namespace with people in their roles, and on the servers a bucket, tenants with
//! databases, requests, an operator and a kubelet.

mod builder;
mod kubelet;
mod people;
mod storage;

pub use builder::Builder;
pub use kubelet::Container;
pub use people::{
    ALICE, Answer, BILLING, BILLING_2, BOB, BOTH, MALLORY, OPERATOR, PAT, PEOPLE, paid, refused, refused_before,
};
pub use storage::{Mend, SECRET_KEY, apply, condition};

use crate::cluster::{self, HELPDESK, Turn, until};
use crate::operator::Operator;
use crate::{Bucket, Database, MANIFEST_KEY, env};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use sennight_api::{BackupSchedule, BackupStorage, Condition, ConditionStatus, RestoreRequest};
use sennight_core::engine::EngineKind;
use sennight_core::manifest::TenantIdentity;
use sennight_core::result::BackupSummary;
use sennight_operator::cache::jobs::{JobState, runs, state};
use sennight_operator::worker_job::labels;
use sennight_protocol::backup::DumpTask;
use sennight_protocol::task::Task;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The path of the operator's kubeconfig. An administrator's would do too much: the operator would find that it can
/// forge approvals, and run nothing.
static OPERATOR_KUBECONFIG: LazyLock<String> = LazyLock::new(|| cluster::kubeconfig(OPERATOR));

/// What one test has to itself.
pub struct World {
    /// Its namespace.
    pub namespace: String,
    bucket: Option<Bucket>,
    admin: Client,
    turn: Arc<Turn>,
}

/// A tenant: a BackupSchedule and its database.
pub struct Tenant {
    /// The BackupSchedule's name.
    pub name: String,
    /// The live database.
    pub database: Database,
}

impl World {
    /// With a namespace, a bucket, PostgreSQL and the objects that name them; helpdesk and billing have their roles.
    pub fn on_servers(test: &str) -> Builder {
        Builder::new(test, true)
    }

    /// With a namespace, in which nobody has a role.
    pub fn on_api(test: &str) -> Builder {
        Builder::new(test, false)
    }

    /// The test's bucket, of a world on servers.
    pub fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("World::on_servers has a bucket")
    }

    /// The objects that name the servers.
    fn furnish(&self) {
        self.let_lead();
        let ca = std::fs::read_to_string(env("SENNIGHT_TEST_PG_CA")).unwrap();
        let bucket = &self.bucket().target;
        let profile = json!({"entities": [{
            "name": "contacts", "file": "contacts.csv", "table": {"name": "contacts"}, "key": "ID",
            "columns": [{"column": "ID"}, {"column": "NAME"}]
        }]});
        cluster::apply(
            &[
                self.secret("s3", &json!({
                    "AWS_ACCESS_KEY_ID": env("SENNIGHT_TEST_S3_ACCESS_KEY"),
                    "AWS_SECRET_ACCESS_KEY": env("SENNIGHT_TEST_S3_SECRET_KEY")
                })),
                self.secret("pg", &json!({
                    "username": env("SENNIGHT_TEST_PG_USER"), "password": env("SENNIGHT_TEST_PG_PASSWORD")
                })),
                self.secret("pg-ca", &json!({"ca.pem": ca})),
                self.object("BackupStorage", "main", &json!({
                    "bucket": bucket.bucket, "prefix": bucket.prefix, "endpoint": bucket.endpoint, "forcePathStyle": true,
                    "credentialsSecretRef": {"name": "s3"},
                    "manifestKeys": {"secretRef": {"name": "manifest-keys"}, "current": MANIFEST_KEY.0}
                })),
                self.secret("manifest-keys", &json!({MANIFEST_KEY.0: MANIFEST_KEY.1})),
                self.server(2),
                self.object("ExportProfile", "bitrix24-crm", &profile),
            ]
            .join("\n---\n"),
        );
    }

    /// The Secret `name` as a document.
    pub fn secret(&self, name: &str, values: &Value) -> String {
        let mut values = values.clone();
        if values.get("username").is_some() && values.get("host").is_none() {
            let servers = ["SENNIGHT_TEST_PG_HOST", "SENNIGHT_TEST_MYSQL_HOST"]
                .map(|name| std::env::var(name).unwrap_or_default());
            values["host"] = json!(format!("{} {}", crate::LOOPBACK, servers.join(" ")));
        }
        let metadata = json!({"name": name, "namespace": self.namespace});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}).to_string()
    }

    /// The DatabaseServer `pg` as a document, with so many dumps at once.
    pub fn server(&self, dumps: i32) -> String {
        self.server_with(json!({"maxConcurrentDumps": dumps}))
    }

    /// The DatabaseServer `pg` as a document, with these fields of its spec.
    pub fn server_with(&self, fields: Value) -> String {
        let mut spec = json!({
            "engine": "PostgreSQL", "host": env("SENNIGHT_TEST_PG_HOST"),
            // The tests' databases belong to the superuser.
            "allowSharedOwners": true,
            "port": env("SENNIGHT_TEST_PG_PORT").parse::<i32>().unwrap(),
            "tls": {"caSecretRef": {"name": "pg-ca", "key": "ca.pem"}},
            "dumpCredentialsSecretRef": {"name": "pg"}, "restoreCredentialsSecretRef": {"name": "pg"}
        });
        let Value::Object(fields) = fields else { panic!("not fields: {fields}") };
        spec.as_object_mut().unwrap().extend(fields);
        self.object("DatabaseServer", "pg", &spec)
    }

    /// The platform team's SQL for what is restored on the server `pg`.
    pub fn hooks(&self, scripts: &Value) {
        let metadata = json!({"name": "after-a-restore", "namespace": self.namespace});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": scripts});
        let server = self.server_with(json!({"restoreHooks": {"configMapRef": {"name": "after-a-restore"}}}));
        cluster::apply(&format!("{map}\n---\n{server}"));
    }

    fn object(&self, kind: &str, name: &str, spec: &Value) -> String {
        cluster::object(&self.namespace, kind, name, spec)
    }

    /// The operator's Lease is in this namespace, not in its own.
    fn let_lead(&self) {
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
        cluster::apply(&format!("{role}\n---\n{binding}"));
    }

    /// An operator for this namespace, under its own account.
    pub fn operator(&self, extra: &[&str]) -> Operator {
        let quick = [
            // Long: a busy machine starves a process for seconds, and whoever restarts one deletes its Lease.
            "--lease-duration=60s",
            "--lease-renew-deadline=40s",
            "--lease-retry-period=500ms",
            "--authority-interval=1s",
            "--job-interval=2s",
            "--restore-retry=3s",
        ];
        Operator::start_as(&OPERATOR_KUBECONFIG, &self.namespace, "operator", &[&quick, extra].concat())
    }

    /// Waits until the operator has made the bucket's prefix the storage's own. A request that is there before waits for it,
    /// which is one more phase and one more write than usual.
    pub async fn storage_is_owned(&self) {
        let storages: Api<BackupStorage> = self.api();
        cluster::until("the storage owns its prefix", async || {
            storages.get("main").await.ok().and_then(|main| main.status?.owner).is_some()
        })
        .await;
    }

    /// `kill -9`, and another process that leads. Nobody waits for the dead one's Lease to run out.
    pub async fn restart(&self, operator: &mut Operator) {
        self.restart_with(operator, &[]).await;
    }

    /// The same with flags.
    pub async fn restart_with(&self, operator: &mut Operator, extra: &[&str]) {
        operator.kill();
        self.api::<Lease>().delete("sennight", &DeleteParams::default()).await.unwrap();
        *operator = self.operator(extra);
        until("it leads", async || operator.log().contains("\"leading\"")).await;
    }

    /// The API of a kind in this namespace, as the administrator.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// A tenant with some contacts. Its schedule is suspended: only what a test triggers runs.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let database = Database::create().await;
        database
            .run("CREATE TABLE contacts (id int PRIMARY KEY, name text); INSERT INTO contacts SELECT n, 'Contact ' || n FROM generate_series(1, 100) n")
            .await;
        let tenant = Tenant { name: name.to_owned(), database };
        self.schedule(&tenant, json!({"suspend": true}));
        tenant
    }

    /// Applies a tenant's schedule with these fields of its spec.
    pub fn schedule(&self, tenant: &Tenant, fields: Value) {
        let mut spec = json!({
            "tenant": {"id": format!("id-{}", tenant.name), "owner": "1", "plan": {"name": "pro", "includesRestore": true}},
            "database": {"serverRef": {"name": "pg"}, "name": tenant.database.target.database},
            "storageRef": {"name": "main"}, "timeZone": "Etc/UTC"
        });
        let Value::Object(fields) = fields else { panic!("not fields: {fields}") };
        spec.as_object_mut().unwrap().extend(fields);
        cluster::apply(&self.object("BackupSchedule", &tenant.name, &spec));
    }

    /// Dumps the tenant's database with the worker's binary. Under `id`, which need not be the tenant's own.
    pub async fn copy_as(&self, tenant: &Tenant, id: &str) -> BackupSummary {
        let task = DumpTask {
            name: tenant.name.clone(),
            identity: TenantIdentity {
                namespace: self.namespace.clone(),
                schedule: tenant.name.clone(),
                schedule_uid: String::new(),
                tenant: id.to_owned(),
                engine: EngineKind::PostgreSQL,
                database: tenant.database.target.database.clone(),
            },
            database: tenant.database.target.clone(),
            time_zone: "Etc/UTC".to_owned(),
            parallelism: 1,
            lock_timeout_seconds: 30,
            ddl_wait_seconds: 60,
            deadline_seconds: 300,
            max_bytes_per_second: None,
            allow_non_transactional: false,
        };
        let argv = Task::Dump(vec![task]).to_argv(&self.bucket().target).unwrap();
        let mut command = tokio::process::Command::new(crate::binary("sennight"));
        let output = command.args(argv).stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = self.bucket().store().await.catalogue(&self.namespace, &tenant.name).await.unwrap();
        found.backups[0].summary.clone()
    }

    /// Dumps the tenant's database.
    pub async fn backup(&self, tenant: &Tenant) -> BackupSummary {
        self.copy_as(tenant, &format!("id-{}", tenant.name)).await
    }

    /// The helpdesk asks for a CrmExport of `day`; `fields` replace some of the spec's.
    pub async fn request(&self, tenant: &Tenant, name: &str, day: chrono::NaiveDate, fields: Value) -> RestoreRequest {
        let mut spec = json!({
            "scheduleRef": {"name": tenant.name}, "mode": "CrmExport", "date": day.to_string(), "requester": {"userId": "1"},
            "ticket": {"id": "T-1"}, "reason": "contacts are gone"
        });
        let Value::Object(fields) = fields else { panic!("not fields: {fields}") };
        spec.as_object_mut().unwrap().extend(fields);
        let object: RestoreRequest = serde_json::from_str(&self.object("RestoreRequest", name, &spec)).unwrap();
        self.requests(HELPDESK).await.create(&PostParams::default(), &object).await.unwrap()
    }

    /// The requests, as `user` may use them.
    pub async fn requests(&self, user: &str) -> Api<RestoreRequest> {
        Api::namespaced(cluster::client(user).await, &self.namespace)
    }

    /// The helpdesk decides.
    pub async fn decide(&self, name: &str, decision: &str) {
        let patch = json!({"status": {"approval": {"decision": decision, "reason": "said the owner"}}});
        let requests = self.requests(HELPDESK).await;
        requests.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Billing records the payment.
    pub async fn pay(&self, name: &str) {
        self.pay_with(name, &format!("INV-{name}")).await;
    }

    /// Billing records the payment under this reference.
    pub async fn pay_with(&self, name: &str, reference: &str) {
        let patch = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name},
            "status": {
                "conditions": [{"type": "Paid", "status": "True", "reason": "PaymentRecorded"}],
                "payment": {"reference": reference, "amount": "49.00", "currency": "EUR"}
            }
        });
        let requests = self.requests(BILLING).await;
        requests.patch_status(name, &PatchParams::apply("billing"), &Patch::Apply(&patch)).await.unwrap();
    }

    /// Both keys.
    pub async fn sign(&self, name: &str) {
        self.decide(name, "Approved").await;
        self.pay(name).await;
    }

    /// A request as it is.
    pub async fn get(&self, name: &str) -> RestoreRequest {
        self.api::<RestoreRequest>().get(name).await.unwrap()
    }

    /// A BackupSchedule as it is.
    pub async fn schedule_status(&self, tenant: &Tenant) -> sennight_api::BackupScheduleStatus {
        self.api::<BackupSchedule>().get(&tenant.name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until a condition of a request has this status and reason.
    pub async fn says(&self, name: &str, type_: &str, status: ConditionStatus, reason: &str) {
        let deadline = Instant::now() + cluster::patience();
        loop {
            let found = self.get(name).await.status.unwrap_or_default();
            if holds(&found.conditions, type_, status, reason) {
                return;
            }
            assert!(Instant::now() < deadline, "not in time: {type_} {status:?} {reason}; it says {found:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until an Event about `name` has this reason.
    pub async fn tells(&self, name: &str, reason: &str) {
        let events: Api<Event> = self.api();
        until(&format!("an Event about {name} says {reason}"), async || {
            events.list(&ListParams::default()).await.unwrap().iter().any(|event| {
                let about = event.regarding.as_ref().and_then(|object| object.name.as_deref());
                about == Some(name) && event.reason.as_deref() == Some(reason)
            })
        })
        .await;
    }

    /// The request says in a condition why not, an Event says the same, and there is no Job that needs both keys.
    pub async fn refused(&self, name: &str, type_: &str, status: ConditionStatus, reason: &str) {
        self.says(name, type_, status, reason).await;
        self.tells(name, reason).await;
        // Time for whoever would start one after all.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(self.locked_jobs().await, Vec::<String>::new());
    }

    /// The names of all Jobs that must not exist without both keys.
    pub async fn locked_jobs(&self) -> Vec<String> {
        let all = self.jobs().await;
        let locked = |job: &&Job| {
            let step = job.labels().get(labels::STEP).map(String::as_str);
            job.name_any().contains("-sennight-restore") && step != Some("preflight")
        };
        all.iter().filter(locked).map(ResourceExt::name_any).collect()
    }

    /// All Jobs.
    pub async fn jobs(&self) -> Vec<Job> {
        self.api::<Job>().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits for a step's Job; its name.
    pub async fn step(&self, step: &str) -> String {
        let find = async || {
            let all = self.jobs().await;
            let mine = |job: &&Job| {
                job.labels().get(labels::STEP).is_some_and(|s| s == step) && state(job) == JobState::Running
            };
            all.iter().find(mine).map(ResourceExt::name_any)
        };
        until(&format!("a Job for {step}"), async || find().await.is_some()).await;
        find().await.unwrap()
    }

    /// The dump Jobs of a tenant: names, and whether each still runs.
    pub async fn dumps(&self, tenant: &Tenant) -> Vec<(String, bool)> {
        let of = |job: &&Job| runs(job).iter().any(|run| run.schedule == tenant.name);
        let all = self.jobs().await;
        all.iter().filter(of).map(|job| (job.name_any(), state(job) == JobState::Running)).collect()
    }

    /// Waits for a dump Job of a tenant that has not ended; its name.
    pub async fn dump(&self, tenant: &Tenant) -> String {
        let find = async || self.dumps(tenant).await.into_iter().find(|(_, running)| *running).map(|(name, _)| name);
        until(&format!("a dump Job for {}", tenant.name), async || find().await.is_some()).await;
        find().await.unwrap()
    }
}

/// Whether a condition has this status and reason.
pub fn holds(conditions: &[Condition], type_: &str, status: ConditionStatus, reason: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason)
}
