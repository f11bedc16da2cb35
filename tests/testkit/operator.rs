//! The operator's binary as a child process.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Operator {
    /// Starts one as the administrator: it serves `namespace` only and elects its leader there.
    pub fn start(namespace: &str, identity: &str, extra: &[&str]) -> Self {
        Self::start_as(&std::env::var("KUBECONFIG").unwrap(), namespace, identity, extra)
    }

    /// Starts one with another kubeconfig.
    pub fn start_as(kubeconfig: &str, namespace: &str, identity: &str, extra: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new(crate::binary("sennight"))
            .env("KUBECONFIG", kubeconfig)
            .args(["operator", "--worker-image=none", "--metrics-addr=127.0.0.1:0"])
            .arg(format!("--namespace={namespace}"))
            .arg(format!("--watch-namespaces={namespace}"))
            .arg(format!("--identity={identity}"))
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Where it serves HTTP, once it says so.
    pub async fn address(&mut self) -> SocketAddr {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            for line in self.log().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                if let Some(address) = line["address"].as_str() {
                    return address.parse().unwrap();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no address in the log:\n{}", self.log());
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.ended().await
    }

    /// Its exit code, once it has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(40);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end:\n{}", self.log());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the operator's log\n{}", self.log());
        }
    }
}

/// A GET's whole answer; empty when nobody listens.
pub async fn get(address: SocketAddr, path: &str) -> String {
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
