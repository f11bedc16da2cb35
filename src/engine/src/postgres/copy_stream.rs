//! The rows' short way: between TLS and the driver, the data of a COPY leaves the stream of messages and flows into the
//! session's valve, so that a row is copied once and no message of its own is made of it. All else passes on as it came.

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

/// rustls asks the socket for a few kilobytes at a time; one call into the kernel fetches this.
const SOCKET_BUFFER: usize = 128 << 10;
/// What is read from TLS at a time: one record of PostgreSQL is half of it.
const INPUT: usize = 16 << 10;
/// A message's kind and length.
const HEADER: usize = 5;

/// A connection with a tap.
pub struct CopyStream {
    wire: Box<dyn TlsStream + Send + Unpin>,
    valve: Arc<RowBuffer>,
    parser: Parser,
    input: BytesMut,
    passed: BytesMut,
}

impl CopyStream {
    fn new(wire: Box<dyn TlsStream + Send + Unpin>, valve: Arc<RowBuffer>) -> Self {
        let (parser, input) = (Parser::default(), BytesMut::with_capacity(INPUT));
        Self { wire, valve, parser, input, passed: BytesMut::new() }
    }

    /// Adds to what is left of the input, which may be the beginning of a header.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(INPUT);
        poll_read_buf(Pin::new(&mut self.wire), cx, &mut self.input)
    }
}

impl AsyncRead for CopyStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.passed.is_empty() {
            if this.parser.is_hungry(&this.input) && ready!(this.poll_input(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            let read = this.parser.read(&mut this.input, &mut this.valve.lock(), &mut this.passed, cx)?;
            if this.passed.is_empty() {
                ready!(read);
            }
        }
        let length = this.passed.len().min(out.remaining());
        out.put_slice(&this.passed[..length]);
        this.passed.advance(length);
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
enum Way {
    #[default]
    Driver,
    RowBuffer,
    Nowhere,
}

/// Finds the messages in the stream of bytes (every one has a kind and a length).
#[derive(Default)]
struct Parser {
    way: Way,
    left: usize,
}

impl Parser {
    /// Whether nothing can be done with this input.
    fn is_hungry(&self, input: &[u8]) -> bool {
        input.len() < if self.left == 0 { HEADER } else { 1 }
    }

    /// Reads all of `input`, unless the valve is full (`Pending`).
    fn read(
        &mut self,
        input: &mut BytesMut,
        valve: &mut BufferState,
        passed: &mut BytesMut,
        cx: &Context<'_>,
    ) -> io::Result<Poll<()>> {
        let mut at = 0;
        let mut full = Poll::Ready(());
        while at < input.len() {
            if self.left == 0 {
                let Some(header) = input.get(at..at + HEADER) else { break };
                full = self.begin(header, valve, passed, cx)?;
                if full.is_pending() {
                    break;
                }
                at += HEADER;
            }
            let length = self.left.min(input.len() - at);
            let bytes = &input[at..at + length];
            match self.way {
                Way::Driver => passed.extend_from_slice(bytes),
                Way::RowBuffer => valve.fill(bytes),
                Way::Nowhere => {}
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
        valve: &mut BufferState,
        passed: &mut BytesMut,
        cx: &Context<'_>,
    ) -> io::Result<Poll<()>> {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let length = length.checked_sub(4).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let way = match header[0] {
            b'd' if valve.is_open() => {
                if valve.begin(length, cx).is_pending() {
                    return Ok(Poll::Pending);
                }
                Way::RowBuffer
            }
            // CopyOutResponse and CopyDone: the driver takes the statement for one that answers with its tag alone.
            b'H' if valve.is_open() => Way::Nowhere,
            b'c' if valve.is_open() => {
                valve.end();
                Way::Nowhere
            }
            _ => {
                passed.extend_from_slice(header);
                Way::Driver
            }
        };
        (self.way, self.left) = (way, length);
        Ok(Poll::Ready(()))
    }
}

/// Makes connections with a tap, with TLS or (for `tls.mode: Disable`) without.
#[derive(Clone)]
pub struct CopyStreamConnect {
    /// How TLS is made, if it is.
    pub tls: Option<MakeRustlsConnect>,
    /// Where rows flow to.
    pub row_buffer: Arc<RowBuffer>,
}

/// A [`BackupStreamConnect`] that knows the host's name.
pub struct ToHost {
    valve: Arc<RowBuffer>,
    tls: Option<RustlsConnect>,
}

type Buffered = BufReader<Socket>;
type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Buffered>>::TlsConnect;

impl MakeTlsConnect<Socket> for CopyStreamConnect {
    type Stream = CopyStream;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        let tls = match &mut self.tls {
            Some(tls) => Some(MakeTlsConnect::<Buffered>::make_tls_connect(tls, host).map_err(io::Error::other)?),
            None => None,
        };
        Ok(ToHost { valve: self.row_buffer.clone(), tls })
    }
}

impl TlsConnect<Socket> for ToHost {
    type Stream = CopyStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<CopyStream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let socket = BufReader::with_capacity(SOCKET_BUFFER, socket);
            let wire: Box<dyn TlsStream + Send + Unpin> = match self.tls {
                Some(tls) => Box::new(tls.connect(socket).await?),
                None => Box::new(Clear(socket)),
            };
            Ok(CopyStream::new(wire, self.valve))
        })
    }
}

/// A connection without TLS in the place of one with it.
struct Clear(Buffered);

impl AsyncRead for Clear {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Clear {
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

impl TlsStream for Clear {
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

    /// Reads `stream` in pieces of `step` bytes, taking what the valve has whenever it is full.
    fn through(stream: &[u8], step: usize, valve: &RowBuffer) -> (Vec<u8>, Vec<BufferItem>) {
        let cx = Context::from_waker(Waker::noop());
        let (mut parser, mut input, mut passed) = (Parser::default(), BytesMut::new(), BytesMut::new());
        let mut pieces = Vec::new();
        let take = |pieces: &mut Vec<BufferItem>| {
            while let Poll::Ready(piece) = valve.take(&cx) {
                pieces.push(piece);
            }
        };
        for some in stream.chunks(step) {
            input.extend_from_slice(some);
            while !parser.is_hungry(&input) {
                let full = parser.read(&mut input, &mut valve.lock(), &mut passed, &cx).unwrap().is_pending();
                if full {
                    take(&mut pieces);
                }
            }
        }
        take(&mut pieces);
        (passed.to_vec(), pieces)
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
            let valve = RowBuffer::default();
            valve.open(cut);
            let (passed, pieces) = through(&stream, step, &valve);
            prop_assert_eq!(passed, others);
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
        let valve = RowBuffer::default();
        valve.open(10);
        let (mut parser, mut passed) = (Parser::default(), BytesMut::new());
        let mut input = BytesMut::from(&(0..9).flat_map(|_| message(b'd', b"12345678\n")).collect::<Vec<_>>()[..]);
        let mut read = |input: &mut BytesMut| parser.read(input, &mut valve.lock(), &mut passed, &cx).unwrap();
        assert!(read(&mut input).is_pending());
        let left = input.len();
        assert!(read(&mut input).is_pending() && input.len() == left, "it stays where it is");
        assert!(valve.take(&cx).is_ready());
        assert!(read(&mut input).is_pending() && input.len() < left, "and goes on");
    }
}
