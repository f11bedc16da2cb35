//! A proxy in front of a database server that knows where one statement ends and the next begins, and stops at one of these
//! boundaries to let somebody kill somebody. No TLS: it has to see the messages. What it must know of a protocol is a [`Talk`].

pub mod mysql;
pub mod postgres;

use sennight_core::engine::TlsMode;
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

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

/// One connection's protocol.
pub trait Talk: Default + Send + 'static {
    /// The client's next message, whole.
    fn message(&mut self, from: &mut OwnedReadHalf) -> impl Future<Output = Option<Vec<u8>>> + Send;
    /// Whether this message is a statement that counts. Those that end sessions repeat themselves, how often is not ours to
    /// say: the first stand for all. `repeated` counts them over all connections.
    fn counts(&mut self, message: &[u8], repeated: &AtomicUsize) -> bool;
    /// Something of the server's answer, and whether a statement's answer ends with it.
    fn answer(from: &mut OwnedReadHalf) -> impl Future<Output = Option<(Vec<u8>, bool)>> + Send;
}

#[derive(Default)]
struct Seen {
    statements: AtomicUsize,
    repeated: AtomicUsize,
}

pub struct Proxy<T> {
    port: u16,
    seen: Arc<Seen>,
    /// One message, when the boundary is reached.
    pub reached: mpsc::Receiver<Reached>,
    _talk: PhantomData<T>,
}

impl<T: Talk> Proxy<T> {
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
                tokio::spawn(line.carry::<T>(client, upstream.clone()));
            }
        });
        Self { port, seen, reached, _talk: PhantomData }
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
    async fn carry<T: Talk>(self, client: TcpStream, upstream: String) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // At `After` the answer must not get through.
        let withhold = Arc::new(AtomicBool::new(false));
        let (answered, answers) = mpsc::channel(1);
        let down = tokio::spawn(answers_of::<T>(from_server, to_client, withhold.clone(), answered));
        self.statements::<T>(from_client, to_server, withhold, answers).await;
        down.abort();
    }

    async fn statements<T: Talk>(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        withhold: Arc<AtomicBool>,
        mut answers: mpsc::Receiver<()>,
    ) {
        let mut talk = T::default();
        while let Some(message) = talk.message(&mut from).await {
            let counts = talk.counts(&message, &self.seen.repeated);
            let number = if counts { self.seen.statements.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            match self.point {
                Some((n, Side::Before)) if n == number => return self.stop().await,
                Some((n, Side::After)) if n == number => {
                    withhold.store(true, Ordering::SeqCst);
                    if to.write_all(&message).await.is_ok() {
                        // Its answer has ended; or the statement is the one that ends the session.
                        let _ = tokio::time::timeout(Duration::from_secs(20), answers.recv()).await;
                    }
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
        let (done, killed) = oneshot::channel();
        if self.tell.send(done).await.is_ok() {
            let _ = killed.await;
        }
    }
}

/// Hands answers on until they are to be withheld; then waits for the end of the statement's.
async fn answers_of<T: Talk>(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    withhold: Arc<AtomicBool>,
    answered: mpsc::Sender<()>,
) {
    while let Some((answer, ends)) = T::answer(&mut from).await {
        if !withhold.load(Ordering::SeqCst) {
            if to.write_all(&answer).await.is_err() {
                break;
            }
        } else if ends {
            break;
        }
    }
    let _ = answered.send(()).await;
    if withhold.load(Ordering::SeqCst) {
        // To let go of the client now would tell it that the connection is lost, before it dies: a report, and no death.
        std::future::pending::<()>().await;
    }
}
