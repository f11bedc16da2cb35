//! A compact map from keys to texts: blocks of text, and sorted indexes into them. A key that is a plain number, as almost every
//! id is, costs four bytes.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What one entry with a numeric key costs besides the text of its value and two or three bytes of lengths.
pub const ENTRY_BYTES: usize = std::mem::size_of::<Numbered>();

/// A block of text has at most this many bytes, unless one entry is larger.
const BLOCK: usize = 1 << 20;
/// Bits of a place that say where in its block an entry begins.
const OFFSET_BITS: u32 = 20;
/// Most candidates that are listed for one text.
const CANDIDATES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Numbered {
    key: u32,
    at: u32,
}

/// Texts by key. Several values of one key keep the order in which they came.
#[derive(Debug, Default)]
pub struct TextTable {
    blocks: Vec<Vec<u8>>,
    numbered: Vec<Numbered>,
    /// Entries whose keys are other texts: the key is in the block.
    named: Vec<u32>,
    sealed: bool,
}

/// A key as a number; only if the number, written out, is the same text again.
fn number(key: &str) -> Option<u32> {
    let plain = key == "0" || !key.starts_with(['0', '+']);
    key.parse().ok().filter(|_| plain)
}

impl TextTable {
    /// Adds one value. Beyond 4 GiB of text it is refused by returning false.
    pub fn push(&mut self, key: &str, group: u32, value: &str) -> bool {
        let number = number(key);
        let mut head = Vec::with_capacity(16);
        put_number(&mut head, group.into());
        if number.is_none() {
            put_number(&mut head, key.len() as u64);
            head.extend_from_slice(key.as_bytes());
        }
        put_number(&mut head, value.len() as u64);
        let Some(at) = self.place(head.len() + value.len()) else { return false };
        if let Some(block) = self.blocks.last_mut() {
            block.extend_from_slice(&head);
            block.extend_from_slice(value.as_bytes());
        }
        match number {
            Some(key) => self.numbered.push(Numbered { key, at }),
            None => self.named.push(at),
        }
        self.sealed = false;
        true
    }

    fn place(&mut self, length: usize) -> Option<u32> {
        if self.blocks.last().is_none_or(|block| block.len() + length > BLOCK) {
            if let Some(full) = self.blocks.last_mut() {
                // A growing vector may have twice what it holds.
                full.shrink_to_fit();
            }
            self.blocks.push(Vec::new());
        }
        // Block and offset share 32 bits: 4,096 blocks of a mebibyte.
        let block = u32::try_from(self.blocks.len() - 1).ok().filter(|block| *block < 1 << (32 - OFFSET_BITS))?;
        let offset = u32::try_from(self.blocks.last()?.len()).ok().filter(|offset| *offset < 1 << OFFSET_BITS)?;
        Some(block << OFFSET_BITS | offset)
    }

    /// Sorts the index. Must come between the last [`push`](Self::push) and the first [`get`](Self::get).
    pub fn seal(&mut self) {
        self.numbered.sort_unstable();
        self.numbered.shrink_to_fit();
        let mut named = std::mem::take(&mut self.named);
        // Places grow with each push, so that values of one key stay in their order.
        named.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)).then(a.cmp(b)));
        named.shrink_to_fit();
        self.named = named;
        self.sealed = true;
    }

    /// The values of a key with their groups, in the order in which they came.
    pub fn get(&self, key: &str) -> impl Iterator<Item = (u32, &str)> {
        debug_assert!(self.sealed, "seal() comes before get()");
        let (numbered, named): (&[Numbered], &[u32]) = if let Some(key) = number(key) {
            let from = self.numbered.partition_point(|entry| entry.key < key);
            let rest = &self.numbered[from..];
            (&rest[..rest.partition_point(|entry| entry.key == key)], &[])
        } else {
            let from = self.named.partition_point(|at| self.name(*at) < key);
            let rest = &self.named[from..];
            (&[], &rest[..rest.partition_point(|at| self.name(*at) == key)])
        };
        let numbered = numbered.iter().map(|entry| self.entry(entry.at, false));
        numbered.chain(named.iter().map(|at| self.entry(*at, true)))
    }

    /// The first value of a key.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.get(key).next().map(|(_, value)| value)
    }

    fn bytes(&self, at: u32) -> &[u8] {
        let offset = (at & ((1 << OFFSET_BITS) - 1)) as usize;
        &self.blocks[(at >> OFFSET_BITS) as usize][offset..]
    }

    fn name(&self, at: u32) -> &str {
        let (_, rest) = take_number(self.bytes(at));
        take_text(rest).0
    }

    fn entry(&self, at: u32, named: bool) -> (u32, &str) {
        let (group, mut rest) = take_number(self.bytes(at));
        if named {
            rest = take_text(rest).1;
        }
        (u32::try_from(group).unwrap_or_default(), take_text(rest).0)
    }

    fn entries(&self) -> impl Iterator<Item = (String, &str)> {
        let numbered = self.numbered.iter().map(|entry| (entry.key.to_string(), self.entry(entry.at, false).1));
        numbered.chain(self.named.iter().map(|at| (self.name(*at).to_owned(), self.entry(*at, true).1)))
    }

    /// The texts that several keys share, ignoring case and accents: an importer that searches one finds any of
    /// them, because most collations of MySQL and MariaDB treat them as equal.
    pub fn shared_texts(&self) -> SharedTexts {
        // Eight bytes a text instead of the text: two different ones of one hash would be listed for nothing, and no
        // link is missed.
        let mut hashes: Vec<u64> = self.entries().filter_map(|(_, value)| folded(value)).collect();
        hashes.sort_unstable();
        let twice: HashSet<u64> = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let mut keys: HashMap<u64, Vec<String>> = HashMap::with_capacity(twice.len());
        if !twice.is_empty() {
            for (key, value) in self.entries() {
                if let Some(hash) = folded(value).filter(|hash| twice.contains(hash)) {
                    let keys = keys.entry(hash).or_default();
                    // One more than is listed, so that it is known that there are more.
                    if keys.len() <= CANDIDATES {
                        keys.push(key);
                    }
                }
            }
        }
        SharedTexts(keys)
    }
}

/// Texts that several keys share.
#[derive(Debug, Default)]
pub struct SharedTexts(HashMap<u64, Vec<String>>);

impl SharedTexts {
    /// The keys that share this text, ended by `…` where there are more; `None` where the text is one key's alone.
    pub fn candidates(&self, text: &str) -> Option<String> {
        let keys = self.0.get(&folded(text)?)?;
        let mut candidates = keys[..keys.len().min(CANDIDATES)].join(",");
        if keys.len() > CANDIDATES {
            candidates.push_str(",…");
        }
        Some(candidates)
    }
}

fn folded(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    // Capitals first: they are what makes ß and SS one.
    for letter in
        text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
    {
        letter.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn put_number(out: &mut Vec<u8>, mut value: u64) {
    let low = |value: u64| u8::try_from(value & 0x7f).unwrap_or_default();
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

fn take_number(bytes: &[u8]) -> (u64, &[u8]) {
    let (mut value, mut shift) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (value, &bytes[at + 1..]);
        }
        shift += 7;
    }
    (0, &[])
}

fn take_text(bytes: &[u8]) -> (&str, &[u8]) {
    let (length, rest) = take_number(bytes);
    let length = usize::try_from(length).unwrap_or_default().min(rest.len());
    let (text, rest) = rest.split_at(length);
    (std::str::from_utf8(text).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_entry_costs_what_the_documentation_says() {
        assert_eq!(ENTRY_BYTES, 8);
    }

    #[test]
    fn a_value_larger_than_a_block_is_held_and_found() {
        let (mut held, large) = (TextTable::default(), "x".repeat(3 << 20));
        for (key, value) in [("1", "a"), ("2", &large), ("3", "b"), ("name", &large), ("4294967296", "far")] {
            assert!(held.push(key, 7, value));
        }
        held.seal();
        assert_eq!(held.first("2"), Some(large.as_str()));
        assert_eq!((held.first("3"), held.first("4294967296")), (Some("b"), Some("far")));
        assert_eq!(held.get("name").collect::<Vec<_>>(), [(7, large.as_str())]);
    }

    #[test]
    fn texts_that_several_keys_share_are_told_with_the_keys() {
        let mut held = TextTable::default();
        for (key, value) in [("1", "Acme"), ("2", "ACME "), ("3", "Other"), ("4", ""), ("5", "")] {
            held.push(key, 0, value);
        }
        for (key, value) in
            [("6", "Müller & Straße"), ("7", "MULLER & STRASSE"), ("8", "Mu\u{308}ller & Straße"), ("9", "Möller")]
        {
            held.push(key, 0, value);
        }
        held.seal();
        let shared = held.shared_texts();
        assert_eq!(shared.candidates("Muller & Strasse").as_deref(), Some("6,7,8"));
        assert_eq!(shared.candidates("Möller"), None);
        assert_eq!(shared.candidates("acme").as_deref(), Some("1,2"));
        assert_eq!((shared.candidates("Other"), shared.candidates("")), (None, None));
    }

    proptest! {
        #[test]
        fn it_answers_like_a_map_of_lists(pairs in prop::collection::vec(("[0-2a\0]{0,2}", 0_u32..300, "\\PC{0,4}"), 0..40)) {
            let mut held = TextTable::default();
            let mut model: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
            for (key, group, value) in &pairs {
                prop_assert!(held.push(key, *group, value));
                model.entry(key.clone()).or_default().push((*group, value.clone()));
            }
            held.seal();
            for (key, values) in model {
                let found: Vec<(u32, String)> = held.get(&key).map(|(g, v)| (g, v.to_owned())).collect();
                prop_assert_eq!(held.first(&key), values.first().map(|(_, v)| v.as_str()));
                prop_assert_eq!(found, values);
            }
            prop_assert_eq!(held.first("nobody"), None);
        }
    }
}
