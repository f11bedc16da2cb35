//! Verifies an audit record: every number once, each entry with the hash of the one before, up to the head that status
//! names.

use super::{AuditEntry, VERSION, sha256};

/// An object of the record as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Key of the object.
    pub key: String,
    /// Number of the entry, from the key; `None` if the key does not have our form.
    pub seq: Option<i64>,
    /// Content of the object.
    pub bytes: Vec<u8>,
}

/// The entry that status names as the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the entry.
    pub seq: i64,
    /// SHA-256 of its object, hex.
    pub sha256: String,
}

/// An entry with the bytes that it is stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The entry.
    pub entry: AuditEntry,
    /// Its JSON, as it is stored.
    pub bytes: Vec<u8>,
    /// SHA-256 of these bytes, hex.
    pub sha256: String,
}

impl Recorded {
    /// Serializes an entry.
    pub fn of(entry: AuditEntry) -> Self {
        // An entry has no map and no number that JSON could not hold.
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        Self { sha256: sha256(&bytes), entry, bytes }
    }
}

/// A chain that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The entries in order.
    pub entries: Vec<Recorded>,
    /// How many entries follow the head: a status write was under way during the read, or was lost in a crash.
    pub beyond: usize,
}

/// What is wrong with a record. The variant's name is the Event's reason and the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum ChainFault {
    /// An object whose key is not one of an entry.
    #[error("{key} is no entry of the record: somebody else put it there")]
    EntryAlien {
        /// Key of the object.
        key: String,
    },
    /// A number is missing.
    #[error("entry {seq} is missing: it was removed")]
    EntryMissing {
        /// The missing number.
        seq: i64,
    },
    /// An entry that cannot be read.
    #[error("entry {seq} cannot be read: {why}")]
    EntryUnreadable {
        /// Number of the entry.
        seq: i64,
        /// What the parser says.
        why: String,
    },
    /// An entry under another number's key, or of another request.
    #[error("the object of entry {seq} says that it is entry {says} of request {uid}: it was put in another's place")]
    EntryMisplaced {
        /// The number of its key.
        seq: i64,
        /// The number that it says.
        says: i64,
        /// The request that it says.
        uid: String,
    },
    /// The entry does not carry the hash of the one before.
    #[error("entry {seq} does not carry the hash of the one before it: one of the two was changed or replaced")]
    EntryUnlinked {
        /// Number of the entry.
        seq: i64,
    },
    /// The last entries are missing.
    #[error("the record ends with entry {have}, and status.audit names entry {head}: the last ones were removed")]
    RecordTruncated {
        /// The last entry that is there.
        have: i64,
        /// The one that status names.
        head: i64,
    },
    /// The head's hash is another.
    #[error("entry {seq} is not the one that status.audit names: it was changed or replaced")]
    HeadDiffers {
        /// Number of the entry.
        seq: i64,
    },
}

impl ChainFault {
    /// Reason of the Event and label of the metric, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Verifies that the objects from number `from` on (1 is all) are the chain of request `uid` and reach the head. Without a
/// head, because the request is gone, missing last entries cannot be noticed.
pub fn verify(uid: &str, found: &[StoredEntry], head: Option<&ChainHead>, from: i64) -> Result<Chain, ChainFault> {
    let mut entries: Vec<Recorded> = Vec::new();
    let mut expected = from;
    let mut sorted: Vec<&StoredEntry> = found.iter().collect();
    // The store's order is not relied on. Keys without a number come first, so that they are refused in any case.
    sorted.sort_by_key(|stored| stored.seq);
    for stored in sorted {
        let seq = stored.seq.ok_or_else(|| ChainFault::EntryAlien { key: stored.key.clone() })?;
        if seq < from {
            continue;
        }
        if seq != expected {
            return Err(ChainFault::EntryMissing { seq: expected });
        }
        let recorded = read(uid, seq, stored)?;
        check_link(&recorded, entries.last())?;
        if head.is_some_and(|head| head.seq == seq && head.sha256 != recorded.sha256) {
            return Err(ChainFault::HeadDiffers { seq });
        }
        entries.push(recorded);
        expected += 1;
    }
    let have = expected - 1;
    match head {
        Some(head) if head.seq > have => Err(ChainFault::RecordTruncated { have, head: head.seq }),
        _ => {
            let beyond = head.map_or(0, |head| usize::try_from(have - head.seq).unwrap_or_default());
            Ok(Chain { entries, beyond })
        }
    }
}

fn read(uid: &str, seq: i64, stored: &StoredEntry) -> Result<Recorded, ChainFault> {
    let unreadable = |why: String| ChainFault::EntryUnreadable { seq, why };
    let entry: AuditEntry = serde_json::from_slice(&stored.bytes).map_err(|error| unreadable(error.to_string()))?;
    if entry.version != VERSION {
        return Err(unreadable(format!("its version is {}, this program reads {VERSION}", entry.version)));
    }
    if entry.seq != seq || entry.uid != uid {
        return Err(ChainFault::EntryMisplaced { seq, says: entry.seq, uid: entry.uid });
    }
    // Over the stored bytes and not over the parsed entry, in which white space or an unknown field would be lost.
    Ok(Recorded { entry, sha256: sha256(&stored.bytes), bytes: stored.bytes.clone() })
}

fn check_link(recorded: &Recorded, before: Option<&Recorded>) -> Result<(), ChainFault> {
    let seq = recorded.entry.seq;
    let fits = match before {
        Some(before) => recorded.entry.previous.as_ref() == Some(&before.sha256),
        // The first entry that was read: only entry 1 has none before it.
        None => recorded.entry.previous.is_some() == (seq > 1),
    };
    // guard(every_way_to_tamper_is_found, always): each entry of the audit record carries the hash of the one before
    if fits { Ok(()) } else { Err(ChainFault::EntryUnlinked { seq }) }
}
