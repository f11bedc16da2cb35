//! A proxy in front of a server of the family that knows where one statement ends and the next begins, and stops at one of these
//! boundaries to let somebody kill somebody. No TLS: it has to see the packets.

use sennight::domain::target::{DatabaseTarget, TlsMode, TlsTarget};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// Boundaries that count of statements that repeat themselves: who is there, and end it.
const REPEATS: usize = 4;
const COM_QUERY: u8 = 3;

/// On which side of a statement something dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server never sees it.
    Before,
    /// It was carried out; nobody learns of it.
    After,
}

/// A boundary: the side of the n-th statement, from 1, over all connections.
pub type Point = (usize, Side);

/// Somebody waits at the boundary until this is answered; then the connection is dropped.
pub type Reached = oneshot::Sender<()>;

#[derive(Default)]
struct Seen {
    statements: AtomicUsize,
    repeated: AtomicUsize,
}

pub struct Wire {
    port: u16,
    seen: Arc<Seen>,
    /// One message, when the boundary is reached.
    pub reached: mpsc::Receiver<Reached>,
}

impl Wire {
    /// Listens, for a server at `upstream`; stops at `point`, if there is one.
    pub async fn start(upstream: String, point: Option<Point>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (tell, reached) = mpsc::channel(1);
        let count = seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = Line { seen: count.clone(), point, tell: tell.clone() };
                tokio::spawn(line.carry(client, upstream.clone()));
            }
        });
        Self { port, seen, reached }
    }

    /// Statements so far.
    pub fn statements(&self) -> usize {
        self.seen.statements.load(Ordering::SeqCst)
    }

    /// The same server through this proxy.
    pub fn target(&self, target: &DatabaseTarget) -> DatabaseTarget {
        let tls = TlsTarget { mode: TlsMode::Disable, ..target.tls.clone() };
        DatabaseTarget { host: "127.0.0.1".to_owned(), port: self.port, tls, ..target.clone() }
    }
}

struct Line {
    seen: Arc<Seen>,
    point: Option<Point>,
    tell: mpsc::Sender<Reached>,
}

impl Line {
    async fn carry(self, client: TcpStream, upstream: String) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // At `After` the answer must not get through.
        let withhold = Arc::new(AtomicBool::new(false));
        let (answered, answers) = mpsc::channel(1);
        let down = tokio::spawn(pass_answers(from_server, to_client, withhold.clone(), answered));
        self.statements(from_client, to_server, withhold, answers).await;
        down.abort();
    }

    async fn statements(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        withhold: Arc<AtomicBool>,
        mut answers: mpsc::Receiver<()>,
    ) {
        while let Some(packet) = packet(&mut from).await {
            let number = self.number(&packet);
            match self.point {
                Some((n, Side::Before)) if n == number => return self.stop().await,
                Some((n, Side::After)) if n == number => {
                    withhold.store(true, Ordering::SeqCst);
                    if to.write_all(&packet).await.is_ok() {
                        let _ = answers.recv().await;
                    }
                    return self.stop().await;
                }
                _ => {}
            }
            if to.write_all(&packet).await.is_err() {
                return;
            }
        }
    }

    /// Which statement it is; 0 is none that counts.
    fn number(&self, packet: &[u8]) -> usize {
        if packet[3] != 0 || packet.get(4) != Some(&COM_QUERY) {
            return 0;
        }
        let text = &packet[5..];
        let repeats = [&b"SHOW PROCESSLIST"[..], b"KILL "].iter().any(|s| text.starts_with(s));
        if repeats && self.seen.repeated.fetch_add(1, Ordering::SeqCst) >= REPEATS {
            return 0;
        }
        self.seen.statements.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn stop(&self) {
        let (done, killed) = oneshot::channel();
        if self.tell.send(done).await.is_ok() {
            let _ = killed.await;
        }
    }
}

/// One packet with its header.
async fn packet(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    from.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    let mut packet = vec![0; 4 + length];
    packet[..4].copy_from_slice(&head);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}

async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    withhold: Arc<AtomicBool>,
    answered: mpsc::Sender<()>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                let _ = answered.send(()).await;
                return;
            }
            Ok(_) if withhold.load(Ordering::SeqCst) => {
                let _ = answered.send(()).await;
                return;
            }
            Ok(n) if to.write_all(&buffer[..n]).await.is_err() => return,
            Ok(_) => {}
        }
    }
}
