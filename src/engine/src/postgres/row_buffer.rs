//! What the rows of a COPY flow into: blocks of whole rows, at most two blocks ahead of whoever takes them. Between the
//! connection, which fills, and the reader, which takes, and each waits for the other.

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// A new block begins with this; it grows if there are more rows.
const FIRST: usize = 32 << 10;

/// What came out of a COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BufferItem {
    /// Messages of one COPY after the other: their bytes and their number.
    Rows(Bytes, i64),
    /// The server's end of the rows of one COPY.
    End,
}

/// The pieces on their way.
#[derive(Default)]
pub struct RowBuffer(Mutex<BufferState>);

/// The valve while somebody holds it.
#[derive(Default)]
pub struct BufferState {
    open: bool,
    cut: usize,
    filling: BytesMut,
    messages: i64,
    /// Bytes of row text in the queue.
    waiting: usize,
    /// Whether a block of the current COPY has reached the cut, so that the next one will too.
    long: bool,
    queue: VecDeque<BufferItem>,
    spare: Option<BytesMut>,
    filler: Option<Waker>,
    taker: Option<Waker>,
}

impl RowBuffer {
    /// The state, for the length of one step.
    pub fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.0.lock()
    }

    /// From now on rows flow in here, in blocks of at most `cut` bytes or one row.
    pub fn open(&self, cut: usize) {
        let mut state = self.lock();
        let spare = state.spare.take();
        *state = BufferState { open: true, cut, spare, ..BufferState::default() };
    }

    /// From now on nothing does; what is inside is given up.
    pub fn close(&self) {
        let mut state = self.lock();
        let filler = state.filler.take();
        *state = BufferState::default();
        drop(state);
        filler.into_iter().for_each(Waker::wake);
    }

    /// The next piece, or the promise to wake.
    pub fn take(&self, cx: &Context<'_>) -> Poll<BufferItem> {
        let mut state = self.lock();
        let Some(piece) = state.queue.pop_front() else {
            state.taker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let BufferItem::Rows(bytes, _) = &piece {
            state.waiting -= bytes.len();
        }
        let filler = state.filler.take();
        drop(state);
        filler.into_iter().for_each(Waker::wake);
        Poll::Ready(piece)
    }

    /// Gives the memory of a block back that nobody needs any more.
    pub fn recycle(&self, block: Bytes) {
        if let Ok(mut block) = block.try_into_mut() {
            block.clear();
            let mut state = self.lock();
            if block.capacity() >= state.cut && state.cut > 0 && block.capacity() < 2 * state.cut {
                state.spare = Some(block);
            }
        }
    }
}

impl BufferState {
    /// Whether rows shall flow in.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Makes room for a message of `length` bytes, or promises to wake when there may be.
    pub fn begin(&mut self, length: usize, cx: &Context<'_>) -> Poll<()> {
        let inside = self.waiting + self.filling.len();
        if !self.queue.is_empty() && inside + length > 2 * self.cut {
            self.filler = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // A message need not be a whole row, although every server so far sends it so.
        let whole = self.filling.last() == Some(&b'\n');
        if whole && self.filling.len() + length > self.cut {
            self.long = true;
            self.push();
        }
        self.room(length);
        self.messages += 1;
        Poll::Ready(())
    }

    fn room(&mut self, length: usize) {
        if self.filling.capacity() - self.filling.len() >= length {
            return;
        }
        if self.filling.is_empty() && length <= self.cut && self.long {
            self.filling = self.spare.take().unwrap_or_else(|| BytesMut::with_capacity(self.cut));
        } else if self.filling.is_empty() {
            self.filling = BytesMut::with_capacity(length.max(FIRST));
        } else {
            // Doubled, but not beyond the cut, and a large row not at all: memory is 3 × the largest row.
            let needed = self.filling.len() + length;
            let doubled = (2 * self.filling.capacity()).min(self.cut);
            self.filling.reserve(doubled.max(needed) - self.filling.len());
        }
    }

    /// Adds bytes of a message that was begun.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.filling.extend_from_slice(bytes);
    }

    /// The server has sent the last row of a COPY.
    pub fn end(&mut self) {
        if !self.filling.is_empty() {
            self.push();
        }
        self.long = false;
        self.queue.push_back(BufferItem::End);
        self.wake();
    }

    fn push(&mut self) {
        let block = std::mem::take(&mut self.filling).freeze();
        self.waiting += block.len();
        self.queue.push_back(BufferItem::Rows(block, std::mem::take(&mut self.messages)));
        self.wake();
    }

    fn wake(&mut self) {
        self.taker.take().into_iter().for_each(Waker::wake);
    }
}
