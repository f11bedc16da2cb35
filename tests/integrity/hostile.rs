//! A proxy in front of the S3 server that does to chosen requests what networks, full disks, expired keys and stores that
//! lie do.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Bucket, env};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request, as far as faults choose by it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without bucket and query.
    pub key: String,
    pub query: String,
}

impl Request {
    pub fn writes(&self) -> bool {
        self.method == "PUT" || self.method == "POST"
    }

    fn begins_upload(&self) -> bool {
        self.method == "POST" && self.query.starts_with("uploads")
    }

    fn is_part(&self) -> bool {
        self.query.contains("partNumber=")
    }
}

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Forward,
    /// Answered here; the server never sees it.
    Answer(u16, &'static str),
    /// So many percent of the body arrive, then the connection is gone.
    Reset(usize),
    /// Not answered for longer than the dump may take, then cut.
    Stall,
    /// Carried out, and the answer is lost.
    LoseAnswer,
    /// "200 OK", and nothing is stored.
    Swallow,
    /// "200 OK", and what is stored is shorter.
    Truncate,
}

/// How long a stalled request stands still.
const STANDSTILL: Duration = Duration::from_secs(8);

type Decide = Box<dyn FnMut(&Request) -> Act + Send>;

pub struct Hostile {
    pub endpoint: String,
    begun: Arc<Mutex<Vec<String>>>,
    acted: Arc<Mutex<usize>>,
}

impl Hostile {
    pub async fn start(bucket: Arc<Bucket>, decide: impl FnMut(&Request) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (begun, acted) = (Arc::default(), Arc::default());
        let proxy = Proxy {
            bucket,
            decide: Arc::new(Mutex::new(Box::new(decide) as Decide)),
            begun: Arc::clone(&begun),
            acted: Arc::clone(&acted),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.serve(client).await });
            }
        });
        Self { endpoint, begun, acted }
    }

    /// Keys of the uploads in parts that were begun.
    pub fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().clone()
    }

    /// How many requests met a fault.
    pub fn acted(&self) -> usize {
        *self.acted.lock().unwrap()
    }
}

#[derive(Clone)]
struct Proxy {
    bucket: Arc<Bucket>,
    decide: Arc<Mutex<Decide>>,
    begun: Arc<Mutex<Vec<String>>>,
    acted: Arc<Mutex<usize>>,
}

struct Head {
    request: Request,
    /// Index of the first byte of the body, and its length.
    end: usize,
    length: usize,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut first = text.lines().next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    Some(Head { request: Request { method, key, query: query.to_owned() }, end, length })
}

impl Proxy {
    /// One request a connection.
    async fn serve(self, mut client: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        let Head { request, end, length } = loop {
            if let Some(head) = head(&bytes) {
                break head;
            }
            if client.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let act = (self.decide.lock().unwrap())(&request);
        if act != Act::Forward {
            *self.acted.lock().unwrap() += 1;
        }
        let wanted = if let Act::Reset(percent) = act { end + length * percent / 100 } else { end + length };
        while bytes.len() < wanted {
            if client.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        match act {
            Act::Reset(_) => return None,
            Act::Stall => {
                tokio::time::sleep(STANDSTILL).await;
                return None;
            }
            Act::Answer(status, code) => {
                let body =
                    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the test</Message></Error>");
                return answer(&mut client, status, &body).await;
            }
            Act::Swallow if !request.begins_upload() => return answer(&mut client, 200, "").await,
            Act::Swallow | Act::Forward | Act::LoseAnswer | Act::Truncate => {}
        }
        let reply = forward(&bytes).await?;
        if request.begins_upload() {
            self.begun.lock().unwrap().push(request.key.clone());
        }
        if act == Act::LoseAnswer {
            return None;
        }
        if act == Act::Truncate && request.writes() && !request.begins_upload() && !request.is_part() {
            self.bucket.overwrite(&request.key, b"short".to_vec()).await;
        }
        client.write_all(&reply).await.ok()?;
        client.shutdown().await.ok()
    }
}

async fn answer(client: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status} By The Test\r\netag: \"0123456789abcdef0123456789abcdef\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.ok()?;
    client.shutdown().await.ok()
}

async fn forward(bytes: &[u8]) -> Option<Vec<u8>> {
    let upstream = env("SENNIGHT_TEST_S3_ENDPOINT");
    let mut server = TcpStream::connect(upstream.strip_prefix("http://")?).await.ok()?;
    let at = bytes.windows(2).position(|window| window == b"\r\n")? + 2;
    server.write_all(&bytes[..at]).await.ok()?;
    server.write_all(b"connection: close\r\n").await.ok()?;
    server.write_all(&bytes[at..]).await.ok()?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await.ok()?;
    Some(reply)
}
