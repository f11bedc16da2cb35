//! Reads and puts the objects of a request's audit record, each of them once. What an entry says, and whether entries
//! are one chain, is decided in `sennight_core::audit`.

use super::{PutOptions, Store, StoreError};
use bytes::Bytes;
use sennight_core::audit::StoredEntry;

/// Entries are some hundreds of bytes: what is larger is none, and is not read.
const LARGEST: i64 = 1 << 20;

impl Store {
    /// The objects of a request's record from number `from` on, and whatever else lies among them.
    pub async fn audit_entries(&self, request_uid: &str, from: i64) -> Result<Vec<StoredEntry>, StoreError> {
        let prefix = self.named(self.keys.audit(request_uid))?;
        let mut found = Vec::new();
        for object in self.list(&prefix).await? {
            let seq = number(&object.key[prefix.len()..]);
            // What lies before `from` was verified in an earlier round: status names its last entry (docs/audit.md).
            if seq.is_some_and(|seq| seq < from) {
                continue;
            }
            // Too large an entry comes without its bytes: it cannot be read, which is what verifying says.
            let bytes = if object.length > LARGEST { Bytes::new() } else { self.get(&object.key).await? };
            found.push(StoredEntry { seq, bytes: bytes.into(), key: object.key });
        }
        Ok(found)
    }

    /// Puts an entry. False when another object has its number: somebody else appended first, or this process did and
    /// its answer was lost together with the process.
    pub async fn audit_append(&self, request_uid: &str, seq: i64, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let key = self.named(self.keys.audit_entry(request_uid, seq))?;
        // Without conditional puts this look is all there is; restores, which need a claim, do not run there.
        if !self.capabilities().conditional_put && self.head_opt(&key).await?.is_some() {
            return Ok(false);
        }
        // Of two operators that both believe to lead, one puts this number. The other is refused and begins again.
        match self.put(&key, Bytes::from(bytes), &PutOptions::json().exclusive()).await {
            Ok(()) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The number of an entry's file name; `None` for any other name.
fn number(file: &str) -> Option<i64> {
    let digits = file.strip_suffix(".json")?;
    // `parse` alone takes "+00012" and "12": two names would then stand for one number.
    let ours = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|seq| ours && *seq > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_entrys_own_name_is_a_number() {
        assert_eq!(number("000012.json"), Some(12));
        for bad in
            ["12.json", "000000.json", "000012", "000012.json.bak", "x/000012.json", "+00012.json", "-00012.json"]
        {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
