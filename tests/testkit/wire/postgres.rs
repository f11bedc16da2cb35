//! PostgreSQL's protocol, as far as its proxy must know it.

pub use super::{Point, Side};

use super::{Proxy, Talk};
use std::sync::atomic::AtomicUsize;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// Boundaries that count of a connection that repeats itself.
const REPEATS: i32 = 8;

/// What only the connection that ends sessions asks (`engine::postgres::evict`).
const ENDS_SESSIONS: &[u8] = b"'no role')";

/// A proxy in front of PostgreSQL.
pub type Wire = Proxy<Messages>;

#[derive(Default)]
pub struct Messages {
    /// The first message of a connection has no kind.
    begun: bool,
    /// Rounds of a connection that ends sessions.
    rounds: Option<i32>,
}

impl Talk for Messages {
    async fn message(&mut self, from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
        read(from, self.begun).await
    }

    fn counts(&mut self, message: &[u8], _repeated: &AtomicUsize) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            return false;
        }
        if message[0] == b'P' && message.windows(ENDS_SESSIONS.len()).any(|words| words == ENDS_SESSIONS) {
            self.rounds.get_or_insert(0);
        }
        // A simple query, or the end of an extended one.
        let boundary = matches!(message[0], b'Q' | b'S');
        match &mut self.rounds {
            // Whoever ends sessions asks the same two questions again and again.
            Some(rounds) if boundary => {
                *rounds += 1;
                *rounds <= REPEATS
            }
            _ => boundary,
        }
    }

    /// One message; ReadyForQuery ends an answer.
    async fn answer(from: &mut OwnedReadHalf) -> Option<(Vec<u8>, bool)> {
        let message = read(from, true).await?;
        let ends = message[0] == b'Z';
        Some((message, ends))
    }
}

/// One whole message, or nothing where the stream ends.
async fn read(from: &mut OwnedReadHalf, typed: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if typed { 5 } else { 4 }];
    from.read_exact(&mut message).await.ok()?;
    let head = message.len();
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head + length - 4, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some(message)
}
