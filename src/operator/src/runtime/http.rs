//! Serves `/livez`, `/readyz` and `/metrics`. Alive: this process answers, whatever the API server does. Ready: it could
//! lead; the CRDs are served and, once it leads, its caches are filled.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is still missing before this process is ready. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    missing: Arc<Mutex<BTreeSet<String>>>,
}

impl Readiness {
    /// Makes `/readyz` fail until [`Readiness::done`] is called with the same text.
    pub fn expect(&self, what: impl Into<String>) {
        self.lock().insert(what.into());
    }

    /// Ends the wait for `what`.
    pub fn done(&self, what: &str) {
        self.lock().remove(what);
    }

    /// What is still waited for.
    pub fn missing(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, BTreeSet<String>> {
        self.missing.lock()
    }
}

#[derive(Clone)]
struct Served {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// Binds the address. Where the machine has no IPv6, `[::]` becomes `0.0.0.0`.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.ip().is_unspecified() && address.is_ipv6() => {
            TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())).await
        }
        bound => bound,
    }
}

/// Serves the three paths until `stop`; then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(readiness, registry)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Served { readiness, registry })
}

async fn readyz(State(served): State<Served>) -> Response {
    let missing = served.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", missing.join(", "))).into_response()
}

async fn metrics(State(served): State<Served>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &served.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode metrics: {error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry::Metrics;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_while_liveness_stays_ok() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        readiness.expect("CustomResourceDefinitions");
        let (metrics, registry) = Metrics::new();
        metrics.leader.set(1);
        let server = tokio::spawn(serve(listener, readiness.clone(), Arc::new(registry), stop.clone()));

        let waiting = fetch(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("CustomResourceDefinitions"), "{waiting}");
        assert!(fetch(address, "/livez").await.starts_with("HTTP/1.1 200"));
        readiness.done("CustomResourceDefinitions");
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let page = fetch(address, "/metrics").await;
        assert!(page.contains("application/openmetrics-text") && page.contains("sennight_leader 1"), "{page}");

        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
