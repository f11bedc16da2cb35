//! Between the operator and the API server: counts the writes of one restore, does one harm at the write that is asked for,
//! and has watches stand still or tell of an earlier time.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode, header};
use futures::StreamExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use testkit::cluster;
use tokio::sync::watch;

/// What is done to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the operator; the API server never hears of the write.
    KilledBefore,
    /// Carried out, then `kill -9` instead of the answer.
    KilledAfter,
    /// Carried out; the answer is 504.
    Lost504,
    /// Refused with a conflict.
    Conflict409,
    /// Refused as one too many, with Retry-After.
    TooMany429,
    /// SIGSTOP; the write arrives when the process is woken, after another one has taken over.
    Asleep,
}

/// Which write comes to harm.
#[derive(Debug, Clone)]
pub enum At {
    /// The so-manieth, from 1.
    Nth(usize),
    /// The first whose body has this in it.
    Body(String),
    /// The first Job with this in its name.
    Job(String),
}

/// How watches and lists are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As they are.
    Now,
    /// Open watches say nothing, new ones neither.
    Frozen,
    /// With what [`Gateway::remember`] has kept; watches begin anew and tell of no change.
    Past,
}

/// The harm that is asked for, and what became of it.
#[derive(Debug, Default)]
struct Plan {
    /// Name of the request whose writes count.
    name: String,
    fault: Option<(At, Fault)>,
    /// Before this one the lists are kept, for [`Mood::Past`].
    keep: Option<(At, String)>,
    writes: Vec<(String, u64, Instant)>,
    /// Writes that the API server refused because the object had changed.
    conflicts: usize,
    fired: Option<Instant>,
    /// The operator's process.
    pid: u32,
}

/// Made once: two at a time would write one certificate.
static ACCOUNT: LazyLock<String> = LazyLock::new(|| cluster::kubeconfig(cluster::OPERATOR));

pub struct Gateway {
    /// A kubeconfig whose API server is this gateway.
    pub kubeconfig: String,
    shared: Arc<Shared>,
    _dir: tempfile::TempDir,
}

struct Shared {
    upstream: Client,
    plan: Mutex<Plan>,
    mood: watch::Sender<Mood>,
    kept: Mutex<HashMap<String, Bytes>>,
    woken: watch::Sender<bool>,
    /// Writes that arrived late and were carried out or refused.
    late: Mutex<Vec<StatusCode>>,
    /// Not 0: each controller's writes are held up for a time of its own, drawn from this number, so that the three come in
    /// another order.
    shuffle: AtomicU64,
}

impl Gateway {
    /// Listens, and talks to the API server as the operator's own account.
    pub async fn start() -> Self {
        let mut config = Config::from_custom_kubeconfig(
            Kubeconfig::read_from(ACCOUNT.as_str()).unwrap(),
            &KubeConfigOptions::default(),
        )
        .await
        .unwrap();
        config.default_retry = false;
        let shared = Arc::new(Shared {
            upstream: Client::try_from(config).unwrap(),
            plan: Mutex::default(),
            mood: watch::channel(Mood::Now).0,
            kept: Mutex::default(),
            woken: watch::channel(false).0,
            late: Mutex::default(),
            shuffle: AtomicU64::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gateway",
            "clusters": [{"name": "gateway", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "gateway", "context": {"cluster": "gateway", "user": "gateway"}}],
            "users": [{"name": "gateway", "user": {}}]
        });
        std::fs::write(&path, text.to_string()).unwrap();
        Self { kubeconfig: path.to_str().unwrap().to_owned(), shared, _dir: dir }
    }

    /// From now on the writes about this request are counted from 1, and one of them comes to harm.
    pub fn expect(&self, name: &str, fault: Option<(usize, Fault)>) {
        self.plan(name, fault.map(|(write, fault)| (At::Nth(write), fault)));
    }

    /// [`Gateway::expect`] for a write that is known by what it says.
    pub fn expect_at(&self, name: &str, fault: (At, Fault)) {
        self.plan(name, Some(fault));
    }

    fn plan(&self, name: &str, fault: Option<(At, Fault)>) {
        let mut plan = self.shared.plan.lock().unwrap();
        *plan = Plan { name: name.to_owned(), fault, pid: plan.pid, ..Plan::default() };
        self.shared.woken.send_replace(false);
        self.shared.kept.lock().unwrap().clear();
    }

    /// Keeps what the lists of a namespace tell just before a write.
    pub fn remember_before(&self, namespace: &str, at: At) {
        self.shared.plan.lock().unwrap().keep = Some((at, namespace.to_owned()));
    }

    /// Wakes the process that sleeps; what it was writing arrives now. What became of that.
    pub async fn wake(&self) -> Option<StatusCode> {
        let pid = self.shared.plan.lock().unwrap().pid;
        Command::new("kill").args(["-CONT", &pid.to_string()]).status().unwrap();
        self.shared.woken.send_replace(true);
        soon(Duration::from_secs(5), async || !self.shared.late.lock().unwrap().is_empty()).await;
        self.shared.late.lock().unwrap().pop()
    }

    /// The writes so far: what, a hash of all that was sent, and when.
    pub fn sent(&self) -> Vec<(String, u64, Instant)> {
        self.shared.plan.lock().unwrap().writes.clone()
    }

    /// The operator's process, for those who kill it.
    pub fn operator(&self, pid: u32) {
        self.shared.plan.lock().unwrap().pid = pid;
    }

    /// Holds up each controller's writes for a time of its own, another one for each seed; 0 holds up nobody.
    pub fn shuffle(&self, seed: u64) {
        self.shared.shuffle.store(seed, Ordering::SeqCst);
    }

    /// Writes that met a changed object so far.
    pub fn conflicts(&self) -> usize {
        self.shared.plan.lock().unwrap().conflicts
    }

    /// The writes so far.
    pub fn writes(&self) -> Vec<String> {
        self.shared.plan.lock().unwrap().writes.iter().map(|(what, ..)| what.clone()).collect()
    }

    /// When the harm was done.
    pub fn fired(&self) -> Option<Instant> {
        self.shared.plan.lock().unwrap().fired
    }

    /// The harm that was asked for is not done any more; whether it was. (A write that comes when nothing seemed left to do
    /// would put the operator to sleep for good.)
    pub fn disarm(&self) -> bool {
        let mut plan = self.shared.plan.lock().unwrap();
        plan.fault = None;
        plan.fired.is_some()
    }

    /// How watches are answered from here on.
    pub fn set(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }
}

impl Shared {
    /// Keeps what lists of the namespace's requests and Jobs answer now, for [`Mood::Past`].
    async fn remember(&self, namespace: &str) {
        for path in [
            format!("/apis/sennight.dev/v1alpha1/namespaces/{namespace}/restorerequests"),
            format!("/apis/batch/v1/namespaces/{namespace}/jobs"),
        ] {
            let query = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dsennight";
            let uri = if path.ends_with("jobs") { format!("{path}?{query}") } else { path.clone() };
            let request = Request::get(uri).body(kube::client::Body::empty()).unwrap();
            let answer = self.upstream.send(request).await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
            let body = answer.into_body().collect_bytes().await.unwrap();
            self.kept.lock().unwrap().insert(path, body);
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if parts.method == Method::GET {
        return read(&shared, parts, &path, &query).await;
    }
    tokio::time::sleep(shared.held_up(&query)).await;
    let fault = shared.count(&parts.method, &path, &query, &body);
    let keep = shared.plan.lock().unwrap().keep.take_if(|(at, _)| at.is(0, &parts.method, &path, &body));
    if let Some((_, namespace)) = keep {
        shared.remember(&namespace).await;
    }
    let uri = parts.uri.clone();
    match fault {
        None => {
            let answer = forward(&shared, parts, body).await;
            if answer.status() == StatusCode::CONFLICT {
                shared.plan.lock().unwrap().conflicts += 1;
            }
            answer
        }
        Some(Fault::Conflict409) => refuse(StatusCode::CONFLICT, "Conflict", &uri.to_string()),
        Some(Fault::TooMany429) => refuse(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", &uri.to_string()),
        Some(Fault::Lost504) => {
            forward(&shared, parts, body).await;
            refuse(StatusCode::GATEWAY_TIMEOUT, "Timeout", &uri.to_string())
        }
        Some(Fault::Asleep) => {
            shared.signal("-STOP");
            // It is on its way already: that its sender hangs up does not stop it.
            let arriving = tokio::spawn(async move {
                let _ = shared.woken.subscribe().wait_for(|woken| *woken).await;
                let answer = forward(&shared, parts, body).await;
                shared.late.lock().unwrap().push(answer.status());
                answer
            });
            arriving.await.unwrap()
        }
        Some(Fault::KilledBefore) => {
            shared.signal("-KILL");
            std::future::pending().await
        }
        Some(Fault::KilledAfter) => {
            forward(&shared, parts, body).await;
            shared.signal("-KILL");
            std::future::pending().await
        }
    }
}

impl Shared {
    /// Counts a write of the restore, and says what is to be done to it.
    fn count(&self, method: &Method, path: &str, query: &str, body: &Bytes) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        let name = &plan.name;
        let about = || String::from_utf8_lossy(body).contains(&format!("\"{name}\""));
        let counts = !name.is_empty()
            && !query.contains("dryRun")
            && !path.contains("/leases")
            && (path.split('/').any(|part| part == name) || about());
        if !counts {
            return None;
        }
        let what =
            path.rsplit("/namespaces/").next().and_then(|rest| rest.split_once('/')).map_or(path, |(_, rest)| rest);
        let what = format!("{method} {}", what.replace(name.as_str(), "NAME"));
        let mut hash = std::collections::hash_map::DefaultHasher::new();
        (method.as_str(), path, body.as_ref()).hash(&mut hash);
        plan.writes.push((what, hash.finish(), Instant::now()));
        let number = plan.writes.len();
        let hit = plan.fault.as_ref().is_some_and(|(at, _)| at.is(number, method, path, body));
        if !hit || plan.fired.is_some() {
            return None;
        }
        plan.fired = Some(Instant::now());
        plan.fault.as_ref().map(|(_, fault)| *fault)
    }

    /// How long the writes of this query's field manager are held up.
    fn held_up(&self, query: &str) -> Duration {
        let seed = self.shuffle.load(Ordering::SeqCst);
        let manager = query.split('&').find(|part| part.starts_with("fieldManager=sennight"));
        let Some(manager) = manager.filter(|_| seed != 0) else { return Duration::ZERO };
        let mut hash = std::collections::hash_map::DefaultHasher::new();
        (seed, manager).hash(&mut hash);
        Duration::from_millis(hash.finish() % 400)
    }

    fn signal(&self, signal: &str) {
        let pid = self.plan.lock().unwrap().pid;
        assert!(pid > 0, "nobody has said whom to kill");
        Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    }
}

impl At {
    fn is(&self, number: usize, method: &Method, path: &str, body: &Bytes) -> bool {
        match self {
            Self::Nth(wanted) => *wanted == number,
            Self::Body(text) => String::from_utf8_lossy(body).contains(text),
            Self::Job(name) => {
                let made = method == Method::POST && path.ends_with("/jobs");
                made && String::from_utf8_lossy(body).contains(&format!("{name}-"))
            }
        }
    }
}

async fn forward(shared: &Shared, parts: axum::http::request::Parts, body: Bytes) -> Response<Body> {
    let mut request = Request::builder().method(parts.method).uri(parts.uri);
    for wanted in [header::ACCEPT, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&wanted) {
            request = request.header(wanted, value);
        }
    }
    let request = request.body(kube::client::Body::from(body)).unwrap();
    match shared.upstream.send(request).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let mut response = Response::new(Body::new(body));
            *response.status_mut() = head.status;
            if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
            }
            response
        }
        Err(error) => refuse(StatusCode::BAD_GATEWAY, "ServiceUnavailable", &error.to_string()),
    }
}

async fn read(shared: &Arc<Shared>, parts: axum::http::request::Parts, path: &str, query: &str) -> Response<Body> {
    let mood = *shared.mood.borrow();
    let kept = shared.kept.lock().unwrap().get(path).cloned();
    if !query.contains("watch=true") {
        return match kept {
            Some(kept) if mood == Mood::Past => json_response(StatusCode::OK, Body::from(kept)),
            _ => forward(shared, parts, Bytes::new()).await,
        };
    }
    let moods = shared.mood.subscribe();
    if mood == Mood::Past && kept.is_some() {
        // A watch that tells nothing of what came later, until the present is back.
        return json_response(StatusCode::OK, Body::from_stream(silent(moods)));
    }
    let answer = forward(shared, parts, Bytes::new()).await;
    let (head, body) = answer.into_parts();
    Response::from_parts(head, Body::from_stream(gated(body, moods, kept.is_some())))
}

const EXPIRED: &[u8] = b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
\"status\":\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}}\n";

type Piece = Result<Bytes, axum::Error>;

fn silent(moods: watch::Receiver<Mood>) -> impl futures::Stream<Item = Piece> {
    futures::stream::unfold(Some(moods), |moods| async move {
        let mut moods = moods?;
        moods.wait_for(|mood| *mood != Mood::Past).await.ok()?;
        Some((Ok(Bytes::from_static(EXPIRED)), None))
    })
}

/// A watch that stands still while it is told to, and expires when the past begins and `travels`.
fn gated(body: Body, moods: watch::Receiver<Mood>, travels: bool) -> impl futures::Stream<Item = Piece> {
    futures::stream::unfold(Some((body.into_data_stream(), moods)), move |state| async move {
        let (mut body, mut moods) = state?;
        loop {
            let mood = *moods.borrow_and_update();
            match mood {
                Mood::Past if travels => return Some((Ok(Bytes::from_static(EXPIRED)), None)),
                Mood::Frozen => moods.changed().await.ok()?,
                Mood::Now | Mood::Past => tokio::select! {
                    piece = body.next() => return piece.map(|piece| (piece, Some((body, moods)))),
                    changed = moods.changed() => changed.ok()?,
                },
            }
        }
    })
}

fn json_response(status: StatusCode, body: Body) -> Response<Body> {
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

fn refuse(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let text = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": status.as_u16(),
        "message": format!("by the test: {message}"), "details": {"retryAfterSeconds": 1}
    });
    let mut response = json_response(status, Body::from(text.to_string()));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, "1".parse().unwrap());
    }
    response
}

/// Waits until it is so, for at most `longest`; whether it came true.
pub async fn soon(longest: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + longest;
    loop {
        if so().await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
