//! An HTTP proxy in front of the S3 server that does to chosen requests what networks and servers do.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Lower-case `name: value` lines.
    pub headers: Vec<String>,
}

impl Request {
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|line| line.starts_with(&format!("{name}:")))
    }
}

/// What is done to a request.
pub enum Action {
    /// Passed on, answered.
    Forward,
    /// Passed on and carried out; the answer is lost.
    LoseAnswer,
    /// Passed on; only so many bytes of the answer arrive.
    CutAnswer(usize),
    /// Answered here: status line and body; the server never sees it.
    Answer(&'static str, String),
    /// Never answered.
    Stall,
}

type Decide = Box<dyn FnMut(&Request) -> Action + Send>;

/// The running proxy.
pub struct Fault {
    pub endpoint: String,
    log: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Vec<u8>>>,
}

impl Fault {
    /// Starts a proxy that asks `decide` about each request.
    pub async fn start(decide: impl FnMut(&Request) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(decide)));
        let log = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (seen, told) = (Arc::clone(&log), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&decide), Arc::clone(&seen), Arc::clone(&told)));
            }
        });
        Self { endpoint, log, answers }
    }

    /// All that the server answered, one after the other.
    pub fn answers(&self) -> String {
        String::from_utf8_lossy(&self.answers.lock().unwrap()).into_owned()
    }

    /// How many requests like this arrived.
    pub fn count(&self, like: impl Fn(&Request) -> bool) -> usize {
        self.log.lock().unwrap().iter().filter(|request| like(request)).count()
    }
}

/// An S3 error body.
pub fn s3_error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the test</Message></Error>")
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    decide: Arc<Mutex<Decide>>,
    log: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Vec<u8>>>,
) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let first: Vec<&str> = lines.next()?.split(' ').collect();
    let headers: Vec<String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| format!("{}:{}", name.to_lowercase(), value.trim()))
        .collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length:")?.parse().ok()).unwrap_or(0);
    let request = Request { method: first[0].to_owned(), path: first[1].to_owned(), headers };
    log.lock().unwrap().push(request.clone());
    let action = (decide.lock().unwrap())(&request);
    if matches!(action, Action::Stall) {
        std::future::pending::<()>().await;
    }
    while bytes.len() < end + length {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    if let Action::Answer(status, body) = action {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        client.write_all(answer.as_bytes()).await.ok()?;
        return client.shutdown().await.ok();
    }
    let upstream = crate::env("SENNIGHT_TEST_S3_ENDPOINT");
    let mut server = TcpStream::connect(upstream.strip_prefix("http://").unwrap()).await.ok()?;
    let at = head.find("\r\n").unwrap() + 2;
    server.write_all(&bytes[..at]).await.ok()?;
    server.write_all(b"connection: close\r\n").await.ok()?;
    server.write_all(&bytes[at..]).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    answers.lock().unwrap().extend_from_slice(&answer);
    match action {
        Action::LoseAnswer => return None,
        Action::CutAnswer(after) => {
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            answer.truncate(body + after);
        }
        _ => {}
    }
    client.write_all(&answer).await.ok()?;
    client.shutdown().await.ok()
}
