//! A namespace, buckets, and the kinds of ours in the harness's cluster.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Resource, ResourceExt};
use sennight::api::{BackupStorage, Condition, admission, crds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

fn needed(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run me by tests/cluster/with.sh api -- cargo test"))
}

static ENDPOINT: LazyLock<String> = LazyLock::new(|| needed("SENNIGHT_TEST_S3_ENDPOINT"));
static ACCESS_KEY: LazyLock<String> = LazyLock::new(|| needed("SENNIGHT_TEST_S3_ACCESS_KEY"));
/// The store's secret key: must never be seen anywhere.
pub static SECRET_KEY: LazyLock<String> = LazyLock::new(|| needed("SENNIGHT_TEST_S3_SECRET_KEY"));

/// One test's own corner of the servers.
pub struct World {
    client: Client,
    s3: aws_sdk_s3::Client,
    /// Its namespace.
    pub namespace: String,
}

impl World {
    /// Installs the kinds and makes a namespace named after the test.
    pub async fn new(test: &str) -> Self {
        needed("KUBECONFIG");
        let client = Client::try_default().await.unwrap();
        let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for kind in crds::all().unwrap() {
            let name = kind.name_any();
            kinds.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&kind)).await.unwrap();
            let wait = await_condition(kinds.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap().unwrap();
        }
        let namespace = format!("runtime-{test}-{:06x}", rand::random::<u32>() & 0xff_ffff);
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.patch(&namespace, &PatchParams::apply("test"), &Patch::Apply(&object)).await.unwrap();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(ENDPOINT.as_str())
            .force_path_style(true)
            .credentials_provider(Credentials::new(ACCESS_KEY.as_str(), SECRET_KEY.as_str(), None, None, "test"))
            .build();
        Self { client, s3: aws_sdk_s3::Client::from_conf(config), namespace }
    }

    /// The API of a kind in this test's namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A BackupStorage that reads the Secret `s3`.
    pub async fn storage(&self, api: &Api<BackupStorage>, name: &str, bucket: &str, prefix: &str) {
        let spec = json!({
            "bucket": bucket, "prefix": prefix, "endpoint": ENDPOINT.as_str(), "forcePathStyle": true,
            "credentialsSecretRef": {"name": "s3"}
        });
        apply(api, name, spec).await;
    }

    /// The Secret with the store's access key and this secret key.
    pub async fn credentials(&self, name: &str, secret_key: String) {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"AWS_ACCESS_KEY_ID": ACCESS_KEY.as_str(), "AWS_SECRET_ACCESS_KEY": secret_key}
        });
        let api: Api<Secret> = self.api();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    /// The Roles that the chart gives the operator, for this test's namespace.
    pub fn install_chart_rights(&self) {
        let rendered = Command::new(needed("SENNIGHT_TEST_HELM"))
            .args(["template", &self.namespace, "charts/sennight", "--namespace", &self.namespace])
            .args(["--kube-version", "1.36.0"])
            .args(["--set", &format!("watchNamespaces={{{}}}", self.namespace), "--show-only", "templates/rbac.yaml"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rendered.stdout).unwrap();
        let apply = Command::new(needed("SENNIGHT_TEST_KUBECTL"))
            .args(["apply", "--server-side", "-f"])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(apply.status.success(), "{}", String::from_utf8_lossy(&apply.stderr));
    }

    /// The kubeconfig of the chart's service account.
    pub fn operator_kubeconfig(&self) -> String {
        let account = format!("system:serviceaccount:{0}:{0}", self.namespace);
        let made = Command::new(needed("SENNIGHT_TEST_USER_KUBECONFIG")).arg(account).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// The policies as shipped.
    pub async fn install_policies(&self) {
        for guard in admission::validating() {
            self.write_guard(guard.kind, guard.plural, guard.name, guard.object()).await;
        }
    }

    /// Makes a binding only warn, as an attacker with the right to do so would.
    pub async fn weaken_binding(&self) {
        let binding = &admission::validating()[1];
        let mut weak = binding.object();
        weak["spec"]["validationActions"] = json!(["Warn"]);
        self.write_guard(binding.kind, binding.plural, binding.name, weak).await;
    }

    /// A merge replaces lists: an apply would join the actions of other managers, and Deny beside Warn is refused.
    async fn write_guard(&self, kind: &str, plural: &str, name: &str, object: serde_json::Value) {
        let api = self.guards(kind, plural);
        if api.get_opt(name).await.unwrap().is_some() {
            api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await.unwrap();
        } else {
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
    }

    fn guards(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = admission::API_VERSION.split_once('/').unwrap();
        let gvk = GroupVersionKind::gvk(group, version, kind);
        Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural))
    }

    /// A new bucket with one lifecycle rule, `theirs`.
    pub async fn bucket_with_foreign_rule(&self, test: &str) -> String {
        let bucket = format!("runtime-{test}-{:06x}", rand::random::<u32>() & 0xff_ffff);
        self.s3.create_bucket().bucket(&bucket).send().await.unwrap();
        self.put_only_foreign_rule(&bucket).await;
        bucket
    }

    /// Replaces the bucket's lifecycle configuration by `theirs` alone, as a careless colleague would.
    pub async fn put_only_foreign_rule(&self, bucket: &str) {
        let rule = LifecycleRule::builder()
            .id("theirs")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
            .expiration(LifecycleExpiration::builder().days(90).build())
            .build()
            .unwrap();
        let all = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
        let put = self.s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(all);
        put.send().await.unwrap();
    }

    /// The ids of a bucket's lifecycle rules, sorted.
    pub async fn rules(&self, bucket: &str) -> Vec<String> {
        let answer = self.s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
        let mut ids: Vec<String> = answer.rules().iter().filter_map(|rule| rule.id().map(str::to_owned)).collect();
        ids.sort();
        ids
    }
}

/// Applies an object of a kind with this spec.
pub async fn apply<K>(api: &Api<K>, name: &str, spec: Value)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    let object = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec
    });
    api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&object)).await.unwrap();
}

/// A condition of an object, if it is there.
pub async fn condition<K>(api: &Api<K>, name: &str, type_: &str) -> Option<Condition>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    let object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    let conditions: Vec<Condition> = serde_json::from_value(object["status"]["conditions"].clone()).unwrap_or_default();
    conditions.into_iter().find(|condition| condition.type_ == type_)
}

/// Waits until it is so; panics with `what` after a minute.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !so().await {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
