//! Buckets with rules of others, objects that name them, and a gate that only warns.

use super::World;
use crate::cluster::{self, kubectl_ok};
use crate::env;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use sennight_api::admission::{self, Guard};
use sennight_api::{BackupStorage, Condition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::process::Command;
use std::sync::LazyLock;

static ENDPOINT: LazyLock<String> = LazyLock::new(|| env("SENNIGHT_TEST_S3_ENDPOINT"));
static ACCESS_KEY: LazyLock<String> = LazyLock::new(|| env("SENNIGHT_TEST_S3_ACCESS_KEY"));
/// The store's secret key: must never be seen anywhere.
pub static SECRET_KEY: LazyLock<String> = LazyLock::new(|| env("SENNIGHT_TEST_S3_SECRET_KEY"));

/// A weakened binding; dropped, it denies again.
pub struct Mend(Guard);

impl Mend {
    /// A merge replaces lists: an apply would join the actions of other managers, and Deny beside Warn is refused.
    fn actions(&self, actions: &Value) {
        let patch = json!({"spec": {"validationActions": actions}}).to_string();
        kubectl_ok(&["patch", self.0.plural, self.0.name, "--type=merge", "-p", &patch], "");
    }
}

impl Drop for Mend {
    fn drop(&mut self) {
        self.actions(&self.0.object()["spec"]["validationActions"]);
    }
}

fn s3() -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(ENDPOINT.as_str())
        .force_path_style(true)
        .credentials_provider(Credentials::new(ACCESS_KEY.as_str(), SECRET_KEY.as_str(), None, None, "test"))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

impl World {
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
        let rendered = Command::new(env("SENNIGHT_TEST_HELM"))
            .args(["template", &self.namespace, "charts/sennight", "--namespace", &self.namespace])
            .args(["--kube-version", "1.36.0"])
            .args(["--set", &format!("watchNamespaces={{{}}}", self.namespace), "--show-only", "templates/rbac.yaml"])
            .current_dir(crate::repository())
            .output()
            .unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        cluster::apply(&String::from_utf8(rendered.stdout).unwrap());
    }

    /// The kubeconfig of the chart's service account.
    pub fn operator_kubeconfig(&self) -> String {
        cluster::kubeconfig(&format!("system:serviceaccount:{0}:{0}", self.namespace))
    }

    /// Makes a binding only warn, as an attacker with the right to do so would, until what is returned is dropped.
    pub fn weaken_binding() -> Mend {
        let mend = Mend(admission::validating().swap_remove(1));
        mend.actions(&json!(["Warn"]));
        mend
    }

    /// A new bucket with one lifecycle rule, `theirs`.
    pub async fn bucket_with_foreign_rule(&self, test: &str) -> String {
        let bucket = cluster::name(&format!("runtime-{test}"));
        s3().create_bucket().bucket(&bucket).send().await.unwrap();
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
        let put = s3().put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(all);
        put.send().await.unwrap();
    }

    /// The ids of a bucket's lifecycle rules, sorted.
    pub async fn rules(&self, bucket: &str) -> Vec<String> {
        let answer = s3().get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
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
