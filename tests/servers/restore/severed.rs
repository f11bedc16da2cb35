//! A proxy that breaks a PostgreSQL connection at its COMMIT, on either side of it. No TLS: it has to see the message.

use sennight_core::engine::TlsMode;
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// COMMIT does not arrive.
    Before,
    /// COMMIT is carried out, its answer does not arrive.
    After,
    /// Neither does anything after it: the network is gone.
    ForGood,
}

/// The same server through a proxy that breaks the first COMMIT.
pub async fn severed(target: &DatabaseTarget, at: Break) -> DatabaseTarget {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (server, broken) = (format!("{}:{}", target.host, target.port), Arc::new(AtomicBool::new(false)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if at == Break::ForGood && broken.load(Ordering::SeqCst) {
                continue;
            }
            tokio::spawn(serve(client, server.clone(), broken.clone(), at));
        }
    });
    let tls = TlsTarget { mode: TlsMode::Disable, ..target.tls.clone() };
    DatabaseTarget { host: "127.0.0.1".to_owned(), port, tls, ..target.clone() }
}

async fn serve(mut client: TcpStream, server: String, broken: Arc<AtomicBool>, at: Break) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let commit = up[..read].windows(7).any(|w| w == b"COMMIT\0") && !broken.swap(true, Ordering::SeqCst);
                if commit && at == Break::Before {
                    return;
                }
                if server.write_all(&up[..read]).await.is_err() {
                    return;
                }
                if commit {
                    // The answer means that it is committed; the client never sees it.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
