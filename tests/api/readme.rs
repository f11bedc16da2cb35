//! README's own commands, read from README.md and run as written on an API server of their own that holds nothing: install,
//! samples, a request, both keys. Everybody runs them twice.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::cluster::{HELPDESK, patience, stamps};

const BILLING: &str = "billing-controller";

/// Commands that this test does not run, by how they begin: `make demo` and `make test` are what runs it, Helm's install is
/// tests/node.rs's, the plugin's words need an operator that has looked at the request (tests/api/plugin).
const ELSEWHERE: [&str; 4] = ["make ", "#", "helm install ", "kubectl sennight "];

/// What README shows after a `$`, in its order; a command with a here-document goes on to that one's end.
fn commands(readme: &str) -> Vec<String> {
    let mut all: Vec<String> = vec![];
    let (mut console, mut end) = (false, None::<String>);
    for line in readme.lines() {
        if let Some(word) = &end {
            let last = all.last_mut().unwrap();
            *last = format!("{last}\n{line}");
            if line == word {
                end = None;
            }
        } else if line.starts_with("```") {
            console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| console) {
            end = command.split_once("<<'").and_then(|(_, rest)| rest.split('\'').next()).map(str::to_owned);
            all.push(command.to_owned());
        }
    }
    all
}

fn root() -> &'static Path {
    testkit::repository()
}

/// An API tier of its own, empty. It ends with its standard input.
struct EmptyCluster {
    tier: Child,
    dir: tempfile::TempDir,
    admin: PathBuf,
    /// The script that makes kubeconfigs, and the tier's directory, which it wants.
    user: (String, String),
}

impl EmptyCluster {
    fn start() -> Self {
        // What a developer's shell or another suite asks for beside it is of no use here.
        let mut tier = Command::new(root().join("tests/cluster/with.sh"))
            .args(["api", "--", "bash", "-c"])
            .arg(r#"printf '%s\n' "$KUBECONFIG" "$SENNIGHT_TEST_KUBECTL" "$SENNIGHT_TEST_USER_KUBECONFIG" "$SENNIGHT_CLUSTER_DIR"; cat"#)
            .env_remove("SENNIGHT_PORT_BASE")
            .env_remove("SENNIGHT_MYSQL")
            .env_remove("SENNIGHT_STORES")
            .env_remove("SENNIGHT_PG_MAJORS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(tier.stdout.take().unwrap()).lines();
        let mut next = || lines.next().expect("the tier started").unwrap();
        let (admin, kubectl, user) = (next(), next(), (next(), next()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        symlink(kubectl, dir.path().join("bin/kubectl")).unwrap();
        Self { tier, dir, admin: admin.into(), user }
    }

    /// A backup of somebody's kubeconfig: README changes it.
    fn person(&self, name: &str) -> PathBuf {
        let (script, tier) = &self.user;
        let made = Command::new(script).arg(name).env("SENNIGHT_CLUSTER_DIR", tier).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let backup = self.dir.path().join(name);
        std::fs::copy(String::from_utf8(made.stdout).unwrap().trim(), &backup).unwrap();
        backup
    }

    fn run(&self, kubeconfig: &Path, command: &str) -> Output {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(root())
            .env("PATH", path)
            .env("KUBECONFIG", kubeconfig)
            // What somebody's kubectl remembers of another cluster is not what a new one knows.
            .env("KUBECACHEDIR", self.dir.path().join("cache"))
            .output()
            .unwrap()
    }

    /// Runs it; what it said on both channels. It must succeed, and the API server must have no advice.
    #[track_caller]
    fn ok(&self, kubeconfig: &Path, command: &str) -> String {
        let output = self.run(kubeconfig, command);
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !told.contains("Warning"), "$ {command}\n{said}{told}");
        format!("{said}{told}")
    }

    /// Waits until a dry run of the command shows `value` at `path`: policies act some tenths of a second after they are there.
    #[track_caller]
    fn until_it_shows(&self, kubeconfig: &Path, command: &str, verb: &str, path: &str, value: &str) {
        let dry = command.replace(verb, &format!("{verb} --dry-run=server --output 'jsonpath={{{path}}}'"));
        assert_ne!(dry, command);
        let deadline = Instant::now() + patience();
        loop {
            let output = self.run(kubeconfig, &dry);
            if output.status.success() && output.stdout == value.as_bytes() {
                return;
            }
            assert!(Instant::now() < deadline, "$ {dry}\n{output:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for EmptyCluster {
    fn drop(&mut self) {
        drop(self.tier.stdin.take());
        let _ = self.tier.wait();
    }
}

/// The one command of README with this in it.
#[track_caller]
fn the<'a>(commands: &'a [String], what: &str) -> &'a str {
    let found: Vec<&String> = commands.iter().filter(|command| command.contains(what)).collect();
    assert_eq!(found.len(), 1, "README has one command with {what}: {found:#?}");
    found[0]
}

#[test]
fn commands_are_what_stands_after_the_prompt() {
    let text = "$ no\n```console\n$ a -f - <<'Y'\n$ b\nY\nout\n$ c\n```\n```yaml\n$ d\n```\n";
    assert_eq!(commands(text), ["a -f - <<'Y'\n$ b\nY", "c"]);
}

/// Installs, applies the samples, asks, approves and pays, as README says it, by the people of whom it says it.
#[test]
fn readmes_commands_work_on_an_empty_cluster_and_once_more() {
    let cluster = EmptyCluster::start();
    let mut readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let stamped = stamps();
    if !stamped {
        readme = readme.replace("-f config/install.yaml", "-f config/install-before-1.36.yaml");
    }
    let mut commands = commands(&readme);
    commands.retain(|command| !ELSEWHERE.iter().any(|begin| command.starts_with(begin)));
    let admin = cluster.dir.path().join("admin");
    std::fs::copy(&cluster.admin, &admin).unwrap();
    let (helpdesk, billing) = (cluster.person(HELPDESK), cluster.person(BILLING));
    for round in 1..=2 {
        for command in &commands {
            let by = if command.contains("--field-manager=billing") {
                cluster.until_it_shows(&billing, command, "kubectl apply", ".status.payment.by", BILLING);
                &billing
            } else if command.contains("\"approval\"") {
                cluster.until_it_shows(&helpdesk, command, "kubectl patch", ".status.approval.by", HELPDESK);
                &helpdesk
            } else {
                if command.contains("samples/restore") && stamped {
                    cluster.until_it_shows(&admin, command, "kubectl apply", ".spec.requestedBy", "admin");
                }
                &admin
            };
            cluster.ok(by, command);
            if command.contains("set-context") && round == 1 {
                meet(&cluster, &admin, command, &[(&helpdesk, HELPDESK, "helpdesk"), (&billing, BILLING, "billing")]);
            }
        }
    }
    look(&cluster, &admin, &commands);
}

/// The people of README: their roles, and the namespace that it makes everybody's own.
fn meet(cluster: &EmptyCluster, admin: &Path, set_context: &str, people: &[(&PathBuf, &str, &str)]) {
    for (kubeconfig, name, role) in people {
        cluster.ok(kubeconfig, set_context);
        cluster.ok(
            admin,
            &format!("kubectl create clusterrolebinding {role} --clusterrole=sennight-{role} --user={name}"),
        );
    }
}

/// What is there then.
fn look(cluster: &EmptyCluster, admin: &Path, commands: &[String]) {
    for apply in ["kubectl apply --server-side -f config/install", "kubectl apply -f config/samples"] {
        let diff = the(commands, apply).replace("kubectl apply", "kubectl diff");
        assert_eq!(cluster.ok(admin, &diff), "", "$ {diff}: a second apply changes nothing");
    }
    let names = cluster.ok(admin, "kubectl get bstore,dbserver,bsched,eprof,rreq --output=name");
    let kinds = ["backupstorage", "databaseserver", "backupschedule", "exportprofile", "restorerequest"];
    assert_eq!(names.lines().count(), kinds.len(), "{names}");
    for kind in kinds {
        assert!(names.contains(&format!("{kind}.sennight.dev/")), "no {kind}: {names}");
    }
    let status = cluster.ok(admin, "kubectl get rreq --output='jsonpath={.items[0].status}'");
    assert!(status.contains(&format!("\"by\":\"{HELPDESK}\"")) && status.contains("\"type\":\"Paid\""), "{status}");
    // The namespace of the manifest asks for restricted pods: the operator's own is let in.
    let deadline = Instant::now() + patience();
    while cluster.ok(admin, "kubectl --namespace sennight-system get pod --output=name").lines().count() != 1 {
        let why = "kubectl --namespace sennight-system get event --output=jsonpath='{.items[*].message}'";
        assert!(Instant::now() < deadline, "no pod of the operator: {}", cluster.ok(admin, why));
        std::thread::sleep(Duration::from_millis(200));
    }
}
