//! The protocol of the MySQL family, as far as its proxy must know it.

pub use super::{Point, Side};

use super::{Proxy, Talk};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// Statements that count of those that repeat themselves: who is there, and end it.
const REPEATS: usize = 4;
const COM_QUERY: u8 = 3;

/// A proxy in front of a server of the family.
pub type Wire = Proxy<Packets>;

#[derive(Default)]
pub struct Packets;

impl Talk for Packets {
    /// One packet with its header.
    async fn message(&mut self, from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
        let mut head = [0; 4];
        from.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        let mut packet = vec![0; 4 + length];
        packet[..4].copy_from_slice(&head);
        from.read_exact(&mut packet[4..]).await.ok()?;
        Some(packet)
    }

    fn counts(&mut self, packet: &[u8], repeated: &AtomicUsize) -> bool {
        if packet[3] != 0 || packet.get(4) != Some(&COM_QUERY) {
            return false;
        }
        let text = &packet[5..];
        let repeats = [&b"SHOW PROCESSLIST"[..], b"KILL "].iter().any(|s| text.starts_with(s));
        !repeats || repeated.fetch_add(1, Ordering::SeqCst) < REPEATS
    }

    /// Whatever comes: a client asks one thing at a time, so that the first of it says that the statement was carried out.
    async fn answer(from: &mut OwnedReadHalf) -> Option<(Vec<u8>, bool)> {
        let mut buffer = vec![0; 64 << 10];
        let length = from.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        buffer.truncate(length);
        Some((buffer, true))
    }
}
