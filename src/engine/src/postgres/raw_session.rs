//! A session that the worker logs in and a client tool then speaks to: TLS, password and certificate stay in the worker. What
//! the tool may send is the relay's matter ([`super::relay`]).

use super::copy_stream::{CopyStream, CopyStreamConnect, HostConnect};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Config, Socket};

/// What a server tells every client at login and libpq looks at.
const PARAMETERS: [&str; 12] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "in_hot_standby",
];
/// Ends the transaction that a tool left, and everything that the session has become since its login.
const RESET: [&str; 2] = ["ROLLBACK", "DISCARD ALL"];
/// A longer answer to [`RESET`] is none.
const LONGEST: usize = 1 << 20;

/// A session after its login, between two statements.
pub struct RawSession {
    wire: CopyStream,
    parameters: Vec<(&'static str, String)>,
}

impl RawSession {
    /// Logs in by `config`, whose settings travel in the startup packet. `first` is asked before anything else; its answer is given
    /// back, for the caller to see that the settings are in force. `None` if the driver went past `tls`.
    pub async fn open(
        config: &Config,
        tls: CopyStreamConnect,
        first: &str,
    ) -> Result<Option<(Self, Vec<Option<String>>)>, tokio_postgres::Error> {
        let place = Place::default();
        let (client, mut connection) = config.connect(Lend { tls, place: place.clone() }).await?;
        let asked = tokio::select! {
            biased;
            // It ends only with the connection; whoever waits for an answer gets the error.
            _ = &mut connection => client.simple_query(first).await?,
            asked = client.simple_query(first) => asked?,
        };
        let answer = asked.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|n| row.get(n).map(ToOwned::to_owned)).collect())
            }
            _ => None,
        });
        let parameters =
            PARAMETERS.iter().filter_map(|name| Some((*name, connection.parameter(name)?.to_owned()))).collect();
        // The driver goes without a word to the server: it is not polled any more.
        let wire = place.0.lock().take();
        drop((client, connection));
        Ok(wire.map(|wire| (Self { wire, parameters }, answer.unwrap_or_default())))
    }

    /// What the server told at login.
    pub fn parameters(&self) -> &[(&'static str, String)] {
        &self.parameters
    }

    /// The stream of messages.
    pub fn wire(&mut self) -> &mut CopyStream {
        &mut self.wire
    }

    /// Makes the session what it was after its login. An error if the server does not say so: it is of no use then.
    pub async fn reset(&mut self) -> io::Result<()> {
        for statement in RESET {
            let length = u32::try_from(statement.len() + 5).map_err(io::Error::other)?;
            let message = [b"Q", &length.to_be_bytes()[..], statement.as_bytes(), b"\0"].concat();
            self.wire.write_all(&message).await?;
            self.wire.flush().await?;
            self.until_ready().await?;
        }
        Ok(())
    }

    async fn until_ready(&mut self) -> io::Result<()> {
        loop {
            let kind = self.wire.read_u8().await?;
            let length = self.wire.read_u32().await? as usize;
            if !(4..LONGEST).contains(&length) {
                return Err(io::Error::other("the server's answer is out of step"));
            }
            let mut body = vec![0; length - 4];
            self.wire.read_exact(&mut body).await?;
            match (kind, body.as_slice()) {
                (b'E', _) => return Err(io::Error::other("the server does not reset the session")),
                (b'Z', b"I") => return Ok(()),
                (b'Z', _) => return Err(io::Error::other("a transaction stays open")),
                _ => {}
            }
        }
    }
}

/// Where the stream lies while the driver has it on loan.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<CopyStream>>>);

/// Connects as [`CopyStreamConnect`] does, and keeps the stream.
#[derive(Clone)]
struct Lend {
    tls: CopyStreamConnect,
    place: Place,
}

struct LendHost {
    tls: HostConnect,
    place: Place,
}

impl MakeTlsConnect<Socket> for Lend {
    type Stream = Place;
    type TlsConnect = LendHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<LendHost> {
        Ok(LendHost { tls: self.tls.make_tls_connect(host)?, place: self.place.clone() })
    }
}

impl TlsConnect<Socket> for LendHost {
    type Stream = Place;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Place>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.tls.connect(socket).await?;
            *self.place.0.lock() = Some(stream);
            Ok(self.place)
        })
    }
}

impl Place {
    fn poll<T>(&self, with: impl FnOnce(Pin<&mut CopyStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.0.lock().as_mut() {
            Some(stream) => with(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Place {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_read(cx, out))
    }
}

impl AsyncWrite for Place {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(cx))
    }
}

impl TlsStream for Place {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.lock().as_ref().map_or_else(ChannelBinding::none, TlsStream::channel_binding)
    }
}
