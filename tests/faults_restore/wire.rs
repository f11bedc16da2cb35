//! A proxy in front of PostgreSQL that knows where one statement ends and the next begins, and stops at one of these
//! boundaries to let somebody kill somebody. No TLS: it has to see the messages.

use sennight::domain::target::{DatabaseTarget, TlsMode, TlsTarget};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Boundaries that count of a connection that repeats itself.
const REPEATS: i32 = 8;

/// What only the connection that ends sessions asks (`engine::postgres::evict`).
const ENDS_SESSIONS: &[u8] = b"coalesce(a.usename::text, 'no role')";

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

pub struct Wire {
    port: u16,
    seen: Arc<AtomicUsize>,
    /// One message, when the boundary is reached.
    pub reached: mpsc::Receiver<Reached>,
}

impl Wire {
    /// Listens, for a server at `upstream`; stops at `point`, if there is one.
    pub async fn start(upstream: String, point: Option<Point>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
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
        self.seen.load(Ordering::SeqCst)
    }

    /// The same server through this proxy.
    pub fn target(&self, target: &DatabaseTarget) -> DatabaseTarget {
        let tls = TlsTarget { mode: TlsMode::Disable, ..target.tls.clone() };
        DatabaseTarget { host: "127.0.0.1".to_owned(), port: self.port, tls, ..target.clone() }
    }
}

struct Line {
    seen: Arc<AtomicUsize>,
    point: Option<Point>,
    tell: mpsc::Sender<Reached>,
}

impl Line {
    async fn carry(self, client: TcpStream, upstream: String) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // At `After` the answer must not get through: whoever gives this up holds the answer back.
        let (withhold, held) = oneshot::channel();
        let (passed, answered) = mpsc::channel(1);
        let down = tokio::spawn(answers(from_server, to_client, held, passed));
        self.statements(from_client, to_server, withhold, answered).await;
        down.abort();
    }

    async fn statements(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        hold: oneshot::Sender<()>,
        mut answered: mpsc::Receiver<()>,
    ) {
        // The first message has no kind.
        let mut kind = None;
        let mut hold = Some(hold);
        let mut repeats = None;
        while let Some(message) = message(&mut from, kind.is_some()).await {
            // A simple query, or the end of an extended one.
            let mut boundary = kind.is_some() && matches!(message[0], b'Q' | b'S');
            if kind.is_some() && message[0] == b'P' && has(&message, ENDS_SESSIONS) {
                repeats.get_or_insert(0);
            }
            // Whoever ends sessions asks the same two questions again and again: the first rounds stand for all.
            if let (true, Some(rounds)) = (boundary, &mut repeats) {
                *rounds += 1;
                boundary = *rounds <= REPEATS;
            }
            kind = Some(());
            let number = if boundary { self.seen.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            match self.point {
                Some((n, Side::Before)) if n == number => return self.stop().await,
                Some((n, Side::After)) if n == number => {
                    if let Some(hold) = hold.take() {
                        let _ = hold.send(());
                    }
                    if to.write_all(&message).await.is_err() {
                        return;
                    }
                    // Its ReadyForQuery has come; or the statement is the one that ends the session.
                    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), answered.recv()).await;
                    return self.stop().await;
                }
                _ => {}
            }
            if to.write_all(&message).await.is_err() {
                return;
            }
        }
    }

    async fn stop(self) {
        let (done, wait) = oneshot::channel();
        if self.tell.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }
}

fn has(message: &[u8], words: &[u8]) -> bool {
    message.windows(words.len()).any(|window| window == words)
}

/// One whole message, or what is left of the stream.
async fn message(from: &mut OwnedReadHalf, typed: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if typed { 5 } else { 4 }];
    from.read_exact(&mut message).await.ok()?;
    let head = message.len();
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head + length - 4, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some(message)
}

/// Hands answers on until they are held back; then waits for the end of the statement.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut held: oneshot::Receiver<()>,
    passed: mpsc::Sender<()>,
) {
    let mut holding = false;
    loop {
        let next = tokio::select! {
            biased;
            Ok(()) = &mut held, if !holding => {
                holding = true;
                continue;
            }
            next = typed(&mut from) => next,
        };
        let Some(next) = next else { break };
        if holding {
            if next[0] == b'Z' {
                let _ = passed.send(()).await;
            }
        } else if to.write_all(&next).await.is_err() {
            break;
        }
    }
    let _ = passed.send(()).await;
}

/// A message of the server. Cancelled half way it is lost, which only happens where everything is to be lost.
async fn typed(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    message(from, true).await
}
