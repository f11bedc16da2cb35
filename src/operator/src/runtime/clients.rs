//! The Kubernetes clients. By default kube 5 repeats writes for minutes, whatever the verb: a create landed 44.8 s late,
//! three Leases after leadership was lost. So the client for writes never repeats, gives up after [`WRITE_TIMEOUT`], and
//! refuses every write once this process does not lead.

use crate::runtime::write_fence::WriteFence;
use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use std::time::Duration;
use tower::BoxError;
use tower::filter::FilterLayer;
use tower::util::MapFutureLayer;

/// Longest wait for an answer of the API server; shorter than the Lease's renew deadline.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request was not sent, or its answer not waited for.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// This process does not lead (any more).
    #[error("this process does not lead (any more): nothing is written")]
    NotLeading,
    /// No answer in time. The write may have happened.
    #[error("the API server did not answer within {WRITE_TIMEOUT:?}")]
    TimedOut,
}

/// The clients of one operator process.
#[derive(Clone)]
pub struct Clients {
    /// For watches: repeats requests, and has no time limit.
    pub watch: Client,
    /// For reconciles: repeats nothing, gives up after [`WRITE_TIMEOUT`], writes only while leading.
    pub write: Client,
    /// For the Lease: as `write`, but usable by a standby.
    pub lease: Client,
}

impl Clients {
    /// Builds the clients; sends no request. `write` writes only while `leading` is open.
    pub fn new(config: &Config, leading: &WriteFence) -> Result<Self, kube::Error> {
        Ok(Self {
            watch: Client::try_from(config.clone())?,
            write: bounded_client(config, leading.clone())?,
            lease: bounded_client(config, WriteFence::always())?,
        })
    }
}

/// A client that repeats nothing, gives up after [`WRITE_TIMEOUT`] and writes only while `leading` is open.
fn bounded_client(config: &Config, leading: WriteFence) -> Result<Client, kube::Error> {
    let mut config = config.clone();
    // guard(i2_a_write_is_sent_once_whatever_the_answer, = true): the client that writes sends nothing twice
    config.default_retry = false;
    let fence = FilterLayer::new(move |request: Request<Body>| {
        // guard(i2_a_process_that_does_not_lead_any_more_writes_nothing, never): a process that does not lead writes nothing
        if !leading.may_write() && *request.method() != Method::GET {
            return Err(BoxError::from(Unsent::NotLeading));
        }
        Ok(request)
    });
    let limit = MapFutureLayer::new(in_time);
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&limit).with_layer(&fence).build())
}

type Sent<T> = futures::future::BoxFuture<'static, Result<T, BoxError>>;

fn in_time<T: 'static>(answer: Sent<T>) -> Sent<T> {
    Box::pin(async move {
        match tokio::time::timeout(WRITE_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Unsent::TimedOut.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, PostParams};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// An API server that counts requests and answers each with `answer`, or never.
    async fn server(answer: Option<&'static str>) -> (Config, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    match answer {
                        Some(answer) => {
                            let head = "Content-Type: application/json\r\nConnection: close\r\n";
                            let text = format!("HTTP/1.1 {answer}\r\n{head}Content-Length: 2\r\n\r\nno");
                            let _ = stream.write_all(text.as_bytes()).await;
                        }
                        None => tokio::time::sleep(Duration::from_hours(1)).await,
                    }
                });
            }
        });
        (Config::new(uri.parse().unwrap()), count)
    }

    async fn create(client: &Client) -> kube::Error {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), "ns");
        api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap_err()
    }

    #[tokio::test]
    async fn i2_a_write_is_sent_once_whatever_the_answer() {
        for answer in ["503 Service Unavailable", "504 Gateway Timeout", "429 Too Many Requests\r\nRetry-After: 0"] {
            let (config, count) = server(Some(answer)).await;
            let clients = Clients::new(&config, &WriteFence::always()).unwrap();
            let error = create(&clients.write).await;
            let code = answer[..3].parse::<u16>().unwrap();
            assert!(matches!(&error, kube::Error::Api(status) if status.code == code), "{error}");
            // Longer than the first pause of whoever would try again.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(count.load(Ordering::SeqCst), 1, "{answer}");
        }
    }

    #[tokio::test]
    async fn i2_a_process_that_does_not_lead_any_more_writes_nothing() {
        let (config, count) = server(Some("200 OK")).await;
        let leading = WriteFence::always();
        let clients = Clients::new(&config, &leading).unwrap();
        leading.end();
        let error = create(&clients.write).await;
        assert!(error.to_string().contains("does not lead"), "{error}");
        assert_eq!(count.load(Ordering::SeqCst), 0);
        let api: Api<ConfigMap> = Api::namespaced(clients.write.clone(), "ns");
        api.get("x").await.ok();
        assert_eq!(count.load(Ordering::SeqCst), 1, "reads stay possible");
    }

    #[tokio::test]
    async fn a_silent_api_server_is_given_up_on() {
        let (config, _) = server(None).await;
        let clients = Clients::new(&config, &WriteFence::always()).unwrap();
        let started = std::time::Instant::now();
        let error = create(&clients.write).await;
        assert!(error.to_string().contains("did not answer within 5s"), "{error}");
        assert!(started.elapsed() < WRITE_TIMEOUT * 2);
    }
}
