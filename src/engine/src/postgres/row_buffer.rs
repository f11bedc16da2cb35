//! Buffer between the connection, which writes the rows of a COPY, and the reader, which takes them as blocks of whole rows.
//! It holds at most two blocks; each side waits for the other.

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// Capacity of a new block in bytes; it grows with its rows.
const FIRST_CAPACITY: usize = 32 << 10;

/// What the reader takes from the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BufferItem {
    /// Rows of the current COPY: their text and their number.
    Rows(Bytes, i64),
    /// The end of one COPY's rows.
    End,
}

/// The buffer that connection and reader share.
#[derive(Default)]
pub struct RowBuffer(Mutex<BufferState>);

/// The buffer's content, under its lock.
#[derive(Default)]
pub struct BufferState {
    open: bool,
    block_size: usize,
    block: BytesMut,
    messages: i64,
    /// Bytes of row text in the queue.
    waiting: usize,
    /// Whether a block of the current COPY has reached the block size, so that the next one will too.
    long: bool,
    queue: VecDeque<BufferItem>,
    spare: Option<BytesMut>,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl RowBuffer {
    /// The state, for the length of one step.
    pub fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.0.lock()
    }

    /// From now on rows go into this buffer, in blocks of at most `block_size` bytes, or one row.
    pub fn open(&self, block_size: usize) {
        let mut state = self.lock();
        let spare = state.spare.take();
        *state = BufferState { open: true, block_size, spare, ..BufferState::default() };
    }

    /// From now on no rows go into it; its content is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        let writer = state.writer.take();
        *state = BufferState::default();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }

    /// The next item; `Pending` wakes the task when there is one.
    pub fn take(&self, cx: &Context<'_>) -> Poll<BufferItem> {
        let mut state = self.lock();
        let Some(piece) = state.queue.pop_front() else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let BufferItem::Rows(bytes, _) = &piece {
            state.waiting -= bytes.len();
        }
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(piece)
    }

    /// Takes the memory of a used block back, for the next one.
    pub fn recycle(&self, block: Bytes) {
        if let Ok(mut block) = block.try_into_mut() {
            block.clear();
            let mut state = self.lock();
            if block.capacity() >= state.block_size && state.block_size > 0 && block.capacity() < 2 * state.block_size {
                state.spare = Some(block);
            }
        }
    }
}

impl BufferState {
    /// Whether rows go into the buffer.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Reserves space for a message of `length` bytes; `Pending` wakes the task when there may be space.
    pub fn begin(&mut self, length: usize, cx: &Context<'_>) -> Poll<()> {
        let inside = self.waiting + self.block.len();
        if !self.queue.is_empty() && inside + length > 2 * self.block_size {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // A message need not be a whole row, although every server so far sends it so.
        let whole = self.block.last() == Some(&b'\n');
        if whole && self.block.len() + length > self.block_size {
            self.long = true;
            self.push();
        }
        self.reserve(length);
        self.messages += 1;
        Poll::Ready(())
    }

    fn reserve(&mut self, length: usize) {
        if self.block.capacity() - self.block.len() >= length {
            return;
        }
        if self.block.is_empty() && length <= self.block_size && self.long {
            self.block = self.spare.take().unwrap_or_else(|| BytesMut::with_capacity(self.block_size));
        } else if self.block.is_empty() {
            self.block = BytesMut::with_capacity(length.max(FIRST_CAPACITY));
        } else {
            // Doubled up to the block size, and not at all for a large row: at most three times the largest row is in memory.
            let needed = self.block.len() + length;
            let doubled = (2 * self.block.capacity()).min(self.block_size);
            self.block.reserve(doubled.max(needed) - self.block.len());
        }
    }

    /// Appends bytes of the message that [`begin`](Self::begin) made space for.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// Called when the server has sent the last row of a COPY.
    pub fn end(&mut self) {
        if !self.block.is_empty() {
            self.push();
        }
        self.long = false;
        self.queue.push_back(BufferItem::End);
        self.wake();
    }

    fn push(&mut self) {
        let block = std::mem::take(&mut self.block).freeze();
        self.waiting += block.len();
        self.queue.push_back(BufferItem::Rows(block, std::mem::take(&mut self.messages)));
        self.wake();
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}
