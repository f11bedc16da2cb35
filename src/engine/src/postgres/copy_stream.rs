//! A stream between TLS and the driver: the data of a COPY goes into the session's `RowBuffer` instead of the driver, so that
//! a row is copied once and no message is built for it. All other messages pass on unchanged.

use super::row_buffer::{BufferState, RowBuffer};
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::io::poll_read_buf;

/// rustls asks the socket for a few kilobytes at a time; one system call fetches this many bytes.
const SOCKET_BUFFER: usize = 128 << 10;
/// Bytes that are read from TLS at a time; PostgreSQL sends records of half that size.
const INPUT: usize = 16 << 10;
/// Bytes of a message's kind and length.
const HEADER: usize = 5;

/// A connection whose COPY data goes into a row buffer.
pub struct CopyStream {
    wire: Box<dyn TlsStream + Send + Unpin>,
    row_buffer: Arc<RowBuffer>,
    parser: Parser,
    input: BytesMut,
    for_driver: BytesMut,
}

impl CopyStream {
    fn new(wire: Box<dyn TlsStream + Send + Unpin>, row_buffer: Arc<RowBuffer>, refuse_cleartext: bool) -> Self {
        let (parser, input) = (Parser { refuse_cleartext, ..Parser::default() }, BytesMut::with_capacity(INPUT));
        Self { wire, row_buffer, parser, input, for_driver: BytesMut::new() }
    }

    /// Reads more input behind what is left of it, which may be the beginning of a header.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(INPUT);
        poll_read_buf(Pin::new(&mut self.wire), cx, &mut self.input)
    }
}

impl AsyncRead for CopyStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.for_driver.is_empty() {
            if this.parser.needs_input(&this.input) && ready!(this.poll_input(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            let read = this.parser.read(&mut this.input, &mut this.row_buffer.lock(), &mut this.for_driver, cx)?;
            if this.for_driver.is_empty() {
                ready!(read);
            }
        }
        let length = this.for_driver.len().min(out.remaining());
        out.put_slice(&this.for_driver[..length]);
        this.for_driver.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CopyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

impl TlsStream for CopyStream {
    fn channel_binding(&self) -> ChannelBinding {
        self.wire.channel_binding()
    }
}

/// Where the bytes of the current message go.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Route {
    #[default]
    Driver,
    RowBuffer,
    Nowhere,
}

/// Splits the byte stream into messages: each has a kind and a length.
#[derive(Default)]
struct Parser {
    route: Route,
    left: usize,
    /// Whoever is at the other end has proven nothing: it is not told the password.
    refuse_cleartext: bool,
}

/// The server asks for the password as it is, over a connection on which nobody has proven to be the server.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password in clear text, over a connection that is not verified")]
pub struct CleartextAsked;

impl Parser {
    /// Whether this input is too short to go on.
    fn needs_input(&self, input: &[u8]) -> bool {
        let needed = match (self.left, input.first()) {
            // With the kind of authentication that it asks for.
            (0, Some(b'R')) => HEADER + 4,
            (0, _) => HEADER,
            _ => 1,
        };
        input.len() < needed
    }

    /// Routes all of `input`, unless the row buffer is full (`Pending`).
    fn read(
        &mut self,
        input: &mut BytesMut,
        row_buffer: &mut BufferState,
        for_driver: &mut BytesMut,
        cx: &Context<'_>,
    ) -> io::Result<Poll<()>> {
        let mut at = 0;
        let mut full = Poll::Ready(());
        while at < input.len() {
            if self.left == 0 {
                if self.needs_input(&input[at..]) {
                    break;
                }
                let Some(header) = input.get(at..at + HEADER) else { break };
                // guard(a_password_in_clear_text_is_refused_and_other_logins_pass, never): an unverified server gets no password in clear text
                if self.refuse_cleartext && input[at..].starts_with(b"R\0\0\0\x08\0\0\0\x03") {
                    return Err(io::Error::other(CleartextAsked));
                }
                full = self.begin(header, row_buffer, for_driver, cx)?;
                if full.is_pending() {
                    break;
                }
                at += HEADER;
            }
            let length = self.left.min(input.len() - at);
            let bytes = &input[at..at + length];
            match self.route {
                Route::Driver => for_driver.extend_from_slice(bytes),
                Route::RowBuffer => row_buffer.fill(bytes),
                Route::Nowhere => {}
            }
            self.left -= length;
            at += length;
        }
        input.advance(at);
        Ok(full)
    }

    fn begin(
        &mut self,
        header: &[u8],
        row_buffer: &mut BufferState,
        for_driver: &mut BytesMut,
        cx: &Context<'_>,
    ) -> io::Result<Poll<()>> {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let length = length.checked_sub(4).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let route = match header[0] {
            b'd' if row_buffer.is_open() => {
                if row_buffer.begin(length, cx).is_pending() {
                    return Ok(Poll::Pending);
                }
                Route::RowBuffer
            }
            // CopyOutResponse and CopyDone are hidden from the driver: to it the COPY is a statement without an answer but its tag.
            b'H' if row_buffer.is_open() => Route::Nowhere,
            b'c' if row_buffer.is_open() => {
                row_buffer.end();
                Route::Nowhere
            }
            _ => {
                for_driver.extend_from_slice(header);
                Route::Driver
            }
        };
        (self.route, self.left) = (route, length);
        Ok(Poll::Ready(()))
    }
}

/// Opens [`CopyStream`]s, with TLS or (for `tls.mode: Disable`) without.
#[derive(Clone)]
pub struct CopyStreamConnect {
    /// TLS configuration; `None` connects without TLS.
    pub tls: Option<MakeRustlsConnect>,
    /// Where the rows of COPYs go.
    pub row_buffer: Arc<RowBuffer>,
    /// Whether a server that asks for the password in clear text is refused.
    pub refuse_cleartext: bool,
}

/// A [`BackupStreamConnect`] that knows the host's name.
pub struct HostConnect {
    row_buffer: Arc<RowBuffer>,
    refuse_cleartext: bool,
    tls: Option<RustlsConnect>,
}

type Buffered = BufReader<Socket>;
type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Buffered>>::TlsConnect;

impl MakeTlsConnect<Socket> for CopyStreamConnect {
    type Stream = CopyStream;
    type TlsConnect = HostConnect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<HostConnect> {
        let tls = match &mut self.tls {
            Some(tls) => Some(MakeTlsConnect::<Buffered>::make_tls_connect(tls, host).map_err(io::Error::other)?),
            None => None,
        };
        Ok(HostConnect { row_buffer: self.row_buffer.clone(), refuse_cleartext: self.refuse_cleartext, tls })
    }
}

impl TlsConnect<Socket> for HostConnect {
    type Stream = CopyStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<CopyStream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let socket = BufReader::with_capacity(SOCKET_BUFFER, socket);
            let wire: Box<dyn TlsStream + Send + Unpin> = match self.tls {
                Some(tls) => Box::new(tls.connect(socket).await?),
                None => Box::new(WithoutTls(socket)),
            };
            Ok(CopyStream::new(wire, self.row_buffer, self.refuse_cleartext))
        })
    }
}

/// A connection without TLS; the driver knows only connections with TLS.
struct WithoutTls(Buffered);

impl AsyncRead for WithoutTls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for WithoutTls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl TlsStream for WithoutTls {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_buffer::BufferItem;
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    /// Reads `stream` in pieces of `step` bytes, taking what the row_buffer has whenever it is full.
    fn through(stream: &[u8], step: usize, row_buffer: &RowBuffer) -> (Vec<u8>, Vec<BufferItem>) {
        let cx = Context::from_waker(Waker::noop());
        let (mut parser, mut input, mut for_driver) = (Parser::default(), BytesMut::new(), BytesMut::new());
        let mut pieces = Vec::new();
        let take = |pieces: &mut Vec<BufferItem>| {
            while let Poll::Ready(piece) = row_buffer.take(&cx) {
                pieces.push(piece);
            }
        };
        for some in stream.chunks(step) {
            input.extend_from_slice(some);
            while !parser.needs_input(&input) {
                let full = parser.read(&mut input, &mut row_buffer.lock(), &mut for_driver, &cx).unwrap().is_pending();
                if full {
                    take(&mut pieces);
                }
            }
        }
        take(&mut pieces);
        (for_driver.to_vec(), pieces)
    }

    proptest! {
        #[test]
        fn rows_flow_into_blocks_and_all_else_to_the_driver(
            tables in prop::collection::vec(prop::collection::vec("[a-z]{0,40}", 0..20), 1..5),
            step in 1_usize..200,
            cut in 1_usize..100,
        ) {
            let (mut stream, mut others) = (message(b'N', b"notice"), message(b'N', b"notice"));
            for rows in &tables {
                stream.extend(message(b'H', &[0; 3]));
                for row in rows {
                    stream.extend(message(b'd', format!("{row}\n").as_bytes()));
                }
                stream.extend(message(b'c', b""));
                let tag = message(b'C', format!("COPY {}\0", rows.len()).as_bytes());
                stream.extend(&tag);
                others.extend(&tag);
            }
            let row_buffer = RowBuffer::default();
            row_buffer.open(cut);
            let (for_driver, pieces) = through(&stream, step, &row_buffer);
            prop_assert_eq!(for_driver, others);
            let mut pieces = pieces.into_iter();
            for rows in tables {
                let (mut text, mut count) = (Vec::new(), 0);
                loop {
                    match pieces.next() {
                        Some(BufferItem::Rows(bytes, messages)) => {
                            prop_assert!(bytes.ends_with(b"\n"));
                            prop_assert!(bytes.len() <= cut || messages == 1, "{} bytes, cut {cut}", bytes.len());
                            text.extend(bytes);
                            count += messages;
                        }
                        Some(BufferItem::End) => break,
                        None => return Err(TestCaseError::fail("a table without an end")),
                    }
                }
                prop_assert_eq!(text, rows.iter().flat_map(|r| format!("{r}\n").into_bytes()).collect::<Vec<_>>());
                prop_assert_eq!(count, i64::try_from(rows.len()).unwrap());
            }
        }

        #[test]
        fn a_password_in_clear_text_is_refused_and_other_logins_pass(code in 0_u32..13, step in 1_usize..12) {
            let stream = [message(b'R', &code.to_be_bytes()), message(b'Z', b"I")].concat();
            let cx = Context::from_waker(Waker::noop());
            for refuse_cleartext in [false, true] {
                let mut parser = Parser { refuse_cleartext, ..Parser::default() };
                let (mut input, mut for_driver) = (BytesMut::new(), BytesMut::new());
                let row_buffer = RowBuffer::default();
                let mut refused = false;
                for some in stream.chunks(step) {
                    input.extend_from_slice(some);
                    if !refused && !parser.needs_input(&input) {
                        refused = parser.read(&mut input, &mut row_buffer.lock(), &mut for_driver, &cx).is_err();
                    }
                }
                prop_assert_eq!(refused, refuse_cleartext && code == 3);
                prop_assert!(refused || for_driver == stream);
            }
        }

        #[test]
        fn a_closed_valve_changes_nothing(bodies in prop::collection::vec(any::<Vec<u8>>(), 0..9), step in 1_usize..50) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| message(b'd', body)).collect();
            prop_assert_eq!(through(&stream, step, &RowBuffer::default()), (stream, vec![]));
        }
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_connection() {
        let cx = Context::from_waker(Waker::noop());
        let mut input = BytesMut::from(&b"d\0\0\0\x03"[..]);
        let read = Parser::default().read(&mut input, &mut RowBuffer::default().lock(), &mut BytesMut::new(), &cx);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_full_valve_holds_the_connection_until_somebody_takes() {
        let cx = Context::from_waker(Waker::noop());
        let row_buffer = RowBuffer::default();
        row_buffer.open(10);
        let (mut parser, mut for_driver) = (Parser::default(), BytesMut::new());
        let mut input = BytesMut::from(&(0..9).flat_map(|_| message(b'd', b"12345678\n")).collect::<Vec<_>>()[..]);
        let mut read = |input: &mut BytesMut| parser.read(input, &mut row_buffer.lock(), &mut for_driver, &cx).unwrap();
        assert!(read(&mut input).is_pending());
        let left = input.len();
        assert!(read(&mut input).is_pending() && input.len() == left, "it stays where it is");
        assert!(row_buffer.take(&cx).is_ready());
        assert!(read(&mut input).is_pending() && input.len() < left, "and goes on");
    }
}
