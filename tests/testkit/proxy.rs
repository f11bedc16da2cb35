//! A TCP proxy on loopback that can stand still or answer for a full bucket: faults that a real server does not have at
//! hand when a test needs them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with bytes towards the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Hands everything on.
    None,
    /// Hands on so many bytes, then none until the fault is taken away.
    StallAfter(u64),
    /// Hands on so many bytes, then answers every request as MinIO does when its disks are full.
    FullAfter(u64),
}

pub struct Proxy {
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    passed: Arc<AtomicU64>,
    returned: Arc<AtomicU64>,
}

const FULL: &str = "<?xml version=\"1.0\"?><Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached \
its minimum free drive threshold.</Message></Error>";

impl Proxy {
    /// Listens on a free port of `ip`.
    pub async fn start(ip: &str, server: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (set, fault) = watch::channel(fault);
        let (passed, returned) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (server, count) = (server.trim_start_matches("http://").to_owned(), (passed.clone(), returned.clone()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server.clone(), fault.clone(), count.clone()));
            }
        });
        Self { address, fault: set, passed, returned }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that came back from the server.
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    pub fn heal(&self) {
        self.fault.send(Fault::None).unwrap();
    }

    /// Waits until the proxy has handed on `bytes`.
    pub async fn wait_for(&self, bytes: u64) {
        for _ in 0..600 {
            if self.passed.load(Ordering::Relaxed) >= bytes {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{} of {bytes} bytes passed the proxy in 30 s", self.passed.load(Ordering::Relaxed));
    }
}

async fn serve(
    mut client: TcpStream,
    server: String,
    mut fault: watch::Receiver<Fault>,
    (passed, returned): (Arc<AtomicU64>, Arc<AtomicU64>),
) {
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(read @ 1..) = read else { return };
                loop {
                    let now = *fault.borrow_and_update();
                    match now {
                        Fault::StallAfter(limit) if passed.load(Ordering::Relaxed) >= limit => {
                            if fault.changed().await.is_err() { return }
                        }
                        Fault::FullAfter(limit) if passed.load(Ordering::Relaxed) >= limit => {
                            return full(client).await;
                        }
                        _ => break,
                    }
                }
                passed.fetch_add(read as u64, Ordering::Relaxed);
                if upstream.write_all(&from_client[..read]).await.is_err() { return }
            }
            read = upstream.read(&mut from_server) => {
                let Ok(read @ 1..) = read else { return };
                returned.fetch_add(read as u64, Ordering::Relaxed);
                if client.write_all(&from_server[..read]).await.is_err() { return }
            }
        }
    }
}

async fn full(mut client: TcpStream) {
    let head = format!(
        "HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        FULL.len()
    );
    let _ = client.write_all(head.as_bytes()).await;
    let _ = client.write_all(FULL.as_bytes()).await;
    // The rest of the request is read, else the answer may be lost to a reset.
    let mut rest = vec![0; 16 << 10];
    let drain = async { while let Ok(1..) = client.read(&mut rest).await {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), drain).await;
}
