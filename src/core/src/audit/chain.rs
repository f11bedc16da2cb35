//! Whether a chain of entries is whole: every number once, each with the hash of the one before, up to the head that
//! status names.

use super::{AuditEntry, VERSION, sha256};

/// An object of the record as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its key.
    pub key: String,
    /// The number that the key says; `None` if the key is none of ours.
    pub seq: Option<i64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The entry that status names as the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number.
    pub seq: i64,
    /// Its SHA-256.
    pub sha256: String,
}

/// An entry with the bytes that it is stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What it says.
    pub entry: AuditEntry,
    /// How it is stored.
    pub bytes: Vec<u8>,
    /// SHA-256 of these bytes.
    pub sha256: String,
}

impl Recorded {
    /// An entry and its bytes.
    pub fn of(entry: AuditEntry) -> Self {
        // An entry has no map and no number that JSON could not hold.
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        Self { sha256: sha256(&bytes), entry, bytes }
    }
}

/// A whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its entries.
    pub entries: Vec<Recorded>,
    /// How many came after the head: a status write was on its way when somebody looked, or was lost in a crash.
    pub beyond: usize,
}

/// What is wrong with a record. The variant's name is the Event's reason and the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum ChainFault {
    /// An object that nobody of ours put there.
    #[error("{key} is no entry of the record: somebody else put it there")]
    EntryAlien {
        /// Its key.
        key: String,
    },
    /// A number is not there.
    #[error("entry {seq} is missing: it was removed")]
    EntryMissing {
        /// Its number.
        seq: i64,
    },
    /// An entry that cannot be read.
    #[error("entry {seq} cannot be read: {why}")]
    EntryUnreadable {
        /// Its number.
        seq: i64,
        /// Why.
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
    /// The hash does not fit.
    #[error("entry {seq} does not carry the hash of the one before it: one of the two was changed or replaced")]
    EntryUnlinked {
        /// Its number.
        seq: i64,
    },
    /// The end is gone.
    #[error("the record ends with entry {have}, and status.audit names entry {head}: the last ones were removed")]
    RecordTruncated {
        /// The last entry that is there.
        have: i64,
        /// The one that status names.
        head: i64,
    },
    /// The head is another.
    #[error("entry {seq} is not the one that status.audit names: it was changed or replaced")]
    HeadDiffers {
        /// Its number.
        seq: i64,
    },
}

impl ChainFault {
    /// CamelCase reason.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Whether the objects `from` a number on (1 is all) are the chain of request `uid`, and reach the head. Without a head
/// (the request is gone) an end that was cut off cannot be told.
pub fn verify(uid: &str, found: &[StoredEntry], head: Option<&ChainHead>, from: i64) -> Result<Chain, ChainFault> {
    let mut entries: Vec<Recorded> = Vec::new();
    let mut expected = from;
    let mut sorted: Vec<&StoredEntry> = found.iter().collect();
    sorted.sort_by_key(|filed| filed.seq);
    for filed in sorted {
        let seq = filed.seq.ok_or_else(|| ChainFault::EntryAlien { key: filed.key.clone() })?;
        if seq < from {
            continue;
        }
        if seq != expected {
            return Err(ChainFault::EntryMissing { seq: expected });
        }
        let recorded = read(uid, seq, filed)?;
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

fn read(uid: &str, seq: i64, filed: &StoredEntry) -> Result<Recorded, ChainFault> {
    let unreadable = |why: String| ChainFault::EntryUnreadable { seq, why };
    let entry: AuditEntry = serde_json::from_slice(&filed.bytes).map_err(|error| unreadable(error.to_string()))?;
    if entry.version != VERSION {
        return Err(unreadable(format!("its version is {}, this program reads {VERSION}", entry.version)));
    }
    if entry.seq != seq || entry.uid != uid {
        return Err(ChainFault::EntryMisplaced { seq, says: entry.seq, uid: entry.uid });
    }
    Ok(Recorded { entry, sha256: sha256(&filed.bytes), bytes: filed.bytes.clone() })
}

fn check_link(recorded: &Recorded, before: Option<&Recorded>) -> Result<(), ChainFault> {
    let seq = recorded.entry.seq;
    let fits = match before {
        Some(before) => recorded.entry.previous.as_ref() == Some(&before.sha256),
        // The first that is looked at: only entry 1 has none before it.
        None => recorded.entry.previous.is_some() == (seq > 1),
    };
    if fits { Ok(()) } else { Err(ChainFault::EntryUnlinked { seq }) }
}
