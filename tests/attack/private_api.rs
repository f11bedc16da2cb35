//! API servers of a test's own, to be killed: on an etcd of their own, with the certificates of the tier.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::cluster::{gate, kubectl, kubectl_ok};
use testkit::env;

/// An etcd; it ends with the test.
pub struct Etcd {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// A port that nobody has just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where the harness has a program.
fn program(name: &str) -> PathBuf {
    let script = testkit::repository().join("tests/cluster/tools.sh");
    let output = Command::new(script).args(["path", name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn spawn(program: &Path, arguments: &[String], log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Etcd {
    /// Starts one, empty.
    pub fn start() -> Self {
        let (dir, port, peer) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
        let arguments = [
            format!("--data-dir={}", dir.path().join("data").display()),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
        ];
        let child = spawn(&program("etcd"), &arguments, &dir.path().join("etcd.log"));
        Self { child, port, dir }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API server; it ends with the test.
pub struct ApiServer {
    child: Child,
    arguments: Vec<String>,
    /// A kubeconfig of its administrator.
    pub kubeconfig: String,
    log: PathBuf,
}

impl ApiServer {
    /// Starts one on this etcd, with further flags.
    pub fn start(etcd: &Etcd, more: &[&str]) -> Self {
        let port = free_port();
        let pki = PathBuf::from(env("SENNIGHT_CLUSTER_DIR")).join("pki");
        let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", etcd.port),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            file("service-account-key-file", "sa.pub"),
            file("service-account-signing-key-file", "sa.key"),
        ];
        arguments.extend(more.iter().map(|&flag| flag.to_owned()));
        let log = etcd.dir.path().join(format!("apiserver-{port}.log"));
        let mut config: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(env("KUBECONFIG")).unwrap()).unwrap();
        config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
        let path = etcd.dir.path().join(format!("kubeconfig-{port}"));
        std::fs::write(&path, config.to_string()).unwrap();
        let child = spawn(&program("kube-apiserver"), &arguments, &log);
        Self { child, arguments, kubeconfig: path.to_str().unwrap().to_owned(), log }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same once more, after [`ApiServer::kill`].
    pub fn again(&mut self) {
        self.child = spawn(&program("kube-apiserver"), &self.arguments, &self.log);
    }

    /// CPU time that it has used, in milliseconds: what a busy machine does not change.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // User and system time are 11 and 12 behind the state; a tick is 10 ms.
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let began = Instant::now();
        while !kubectl(&["--kubeconfig", &self.kubeconfig, "get", "--raw", "/readyz"], "").status.success() {
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "not ready: {}",
                std::fs::read_to_string(&self.log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Applies documents.
    pub fn apply(&self, documents: &str) {
        let arguments = ["--kubeconfig", &self.kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-"];
        kubectl_ok(&arguments, documents);
    }

    /// The kinds, policies and roles, and a namespace with people in it.
    pub fn furnish(&self, namespace: &str, people: &[(&str, &str)]) {
        self.apply(&gate());
        let kinds = "--for=condition=Established";
        kubectl_ok(&["--kubeconfig", &self.kubeconfig, "wait", kinds, "--timeout=60s", "crd", "--all"], "");
        let group = "rbac.authorization.k8s.io";
        let mut documents = vec![
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string(),
        ];
        documents.extend(people.iter().enumerate().map(|(number, (who, role))| {
            serde_json::json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
                "metadata": {"name": format!("binding-{number}"), "namespace": namespace},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": group, "kind": "User", "name": who}]
            })
            .to_string()
        }));
        self.apply(&documents.join("\n---\n"));
    }

    /// A client that acts as `user` and sends each request once.
    pub async fn client(&self, user: &str) -> Client {
        let file = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        if !user.is_empty() {
            config.auth_info.impersonate = Some(user.to_owned());
            config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
        }
        Client::try_from(config).unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
