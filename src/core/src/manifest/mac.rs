//! How a manifest ends: `…,"mac":…,"sha256":"…"}`. The digest covers every byte before it and shows damage to anybody; the
//! MAC covers every byte before itself and shows a forgery to those who have the key (docs/format.md).

use super::Manifest;
use crate::names::segment;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

const MAC: &str = ",\"mac\":";
const DIGEST: &str = ",\"sha256\":\"";
/// `,"sha256":"<64 hex digits>"}`
const DIGEST_LENGTH: usize = DIGEST.len() + 64 + 2;
/// How many bytes before the digest the MAC is searched in: more than the MAC with the longest key id has.
const MAC_SEARCH: usize = 1024;
/// Shortest key in bytes; shorter ones could be guessed.
const SHORTEST: usize = 32;

/// How a MAC is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RFC 2104 with SHA-256.
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
}

/// A keyed MAC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mac {
    /// How the MAC is computed.
    pub algorithm: Algorithm,
    /// Id of the key: the name of an entry of the Secret.
    pub key_id: String,
    /// The MAC, hex.
    pub value: String,
}

/// What a manifest's end proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// The digest is right; there is no MAC.
    Unsigned,
    /// The digest is right; the MAC is by the key of this id and was not checked, because the keyring is empty.
    Unchecked(String),
    /// Digest and MAC are right: written by a holder of the key of this id.
    Signed(String),
}

/// Why a manifest is not what its writer wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The digest does not match the bytes.
    #[error("the manifest is damaged: {0}")]
    Damaged(&'static str),
    /// No MAC, and one is required.
    #[error("the manifest is not signed, and this storage requires it")]
    Unsigned,
    /// A key that the keyring does not have.
    #[error("the manifest is signed with key {key:?}, at hand are {known}")]
    UnknownKey {
        /// The MAC's key id.
        key: String,
        /// Ids of the keyring.
        known: String,
    },
    /// The MAC does not match the bytes.
    #[error("the manifest is not what the holder of key {key:?} signed")]
    Forged {
        /// The MAC's key id.
        key: String,
    },
}

/// Keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The name of an entry is not a key id.
    #[error("{0:?} is no key id: use a-z, A-Z, 0-9, '-', '_', '.'")]
    Id(String),
    /// The value of an entry is too short.
    #[error("key {id:?} has {length} bytes, at least {SHORTEST} are needed: openssl rand -hex 32")]
    TooShort {
        /// Id of the key.
        id: String,
        /// Its length in bytes.
        length: usize,
    },
    /// The key that should sign is not in the Secret.
    #[error("the current key {current:?} is not among {known}: add it, or name another one")]
    CurrentMissing {
        /// Id of the key that should sign.
        current: String,
        /// Ids of the keyring.
        known: String,
    },
}

/// Keys of manifests. The default has none: manifests get a digest and no MAC, and no MAC is checked.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<String, Vec<u8>>,
    current: Option<String>,
    required: bool,
}

impl fmt::Debug for Keyring {
    /// Shows ids only, never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, current, required } = self;
        let ids: Vec<&String> = keys.keys().collect();
        f.debug_struct("Keyring").field("ids", &ids).field("current", current).field("required", required).finish()
    }
}

impl Keyring {
    /// Keys by id, of which `current` signs. With `required` a backup that nobody signed is refused. Line ends after a key
    /// do not belong to it.
    pub fn new(keys: BTreeMap<String, Vec<u8>>, current: &str, required: bool) -> Result<Self, KeyringError> {
        let mut checked = BTreeMap::new();
        for (id, mut key) in keys {
            segment("key id", &id).map_err(|_| KeyringError::Id(id.clone()))?;
            while key.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                key.pop();
            }
            if key.len() < SHORTEST {
                return Err(KeyringError::TooShort { id, length: key.len() });
            }
            checked.insert(id, key);
        }
        let keyring = Self { keys: checked, current: Some(current.to_owned()), required };
        if keyring.keys.contains_key(current) {
            return Ok(keyring);
        }
        Err(KeyringError::CurrentMissing { current: current.to_owned(), known: keyring.known() })
    }

    fn known(&self) -> String {
        if self.keys.is_empty() {
            return "no keys".to_owned();
        }
        self.keys.keys().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ")
    }

    /// The manifest's bytes as they are stored.
    pub fn seal(&self, manifest: &Manifest) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(manifest)?;
        // The closing brace: MAC and digest come before it, so that the whole stays JSON.
        bytes.pop();
        let key = self.current.as_ref().and_then(|id| Some((id, self.keys.get(id)?)));
        let mac = key.and_then(|(id, key)| {
            let value = hex::encode(hmac(key, &bytes)?.finalize().into_bytes());
            Some(Mac { algorithm: Algorithm::HmacSha256, key_id: id.clone(), value })
        });
        bytes.extend_from_slice(MAC.as_bytes());
        serde_json::to_writer(&mut bytes, &mac)?;
        let digest = hex::encode(Sha256::digest(&bytes));
        bytes.extend([DIGEST, &digest, "\"}"].concat().into_bytes());
        Ok(bytes)
    }

    /// Checks digest and MAC of `bytes`. Nothing else of them is parsed before that.
    pub fn examine(&self, bytes: &[u8]) -> Result<Seal, SealError> {
        let cut = bytes.len().checked_sub(DIGEST_LENGTH).ok_or(SealError::Damaged("it is cut"))?;
        let (signed, end) = bytes.split_at(cut);
        let digest = [DIGEST, &hex::encode(Sha256::digest(signed)), "\"}"].concat();
        // The digest first: damage must not be reported as a forgery.
        if digest.as_bytes() != end {
            return Err(SealError::Damaged("it does not end in the SHA-256 of what stands before"));
        }
        let (body, mac) = split(signed).ok_or(SealError::Damaged("its mac is not in its place"))?;
        let Some(Mac { key_id, value, .. }) = mac else {
            return if self.required { Err(SealError::Unsigned) } else { Ok(Seal::Unsigned) };
        };
        if self.keys.is_empty() {
            return Ok(Seal::Unchecked(key_id));
        }
        let Some(key) = self.keys.get(&key_id) else {
            return Err(SealError::UnknownKey { key: key_id, known: self.known() });
        };
        // What is no hex becomes empty, and an empty value never verifies.
        let value = hex::decode(&value).unwrap_or_default();
        // `verify_slice` takes the same time however many bytes agree.
        match hmac(key, body).map(|mac| mac.verify_slice(&value)) {
            Some(Ok(())) => Ok(Seal::Signed(key_id)),
            _ => Err(SealError::Forged { key: key_id }),
        }
    }
}

/// The bytes that the MAC covers, and the MAC; `None` unless it is written exactly as [`Keyring::seal`] writes it.
fn split(signed: &[u8]) -> Option<(&[u8], Option<Mac>)> {
    let from = signed.len().saturating_sub(MAC_SEARCH);
    // The last place counts (docs/format.md): whatever stands before it is covered by the MAC.
    let at = from + signed[from..].windows(MAC.len()).rposition(|window| window == MAC.as_bytes())?;
    let (body, rest) = signed.split_at(at);
    let text = &rest[MAC.len()..];
    let mac: Option<Mac> = serde_json::from_slice(text).ok()?;
    (serde_json::to_vec(&mac).ok()? == text).then_some((body, mac))
}

/// `None` never: HMAC takes keys of any length.
fn hmac(key: &[u8], bytes: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(bytes);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::super::tests::manifest;
    use super::*;

    fn keyring(keys: &[(&str, u8)], current: &str, required: bool) -> Keyring {
        let keys = keys.iter().map(|(id, byte)| ((*id).to_owned(), vec![*byte; 32])).collect();
        Keyring::new(keys, current, required).unwrap()
    }

    #[test]
    fn keys_rotate_and_a_week_of_transition_is_possible() {
        let old = keyring(&[("a", 1)], "a", true);
        let both = keyring(&[("a", 1), ("b", 2)], "b", true);
        let (none, unsigned) = (Keyring::default(), Keyring::default().seal(&manifest()).unwrap());
        let (by_a, by_b) = (old.seal(&manifest()).unwrap(), both.seal(&manifest()).unwrap());
        assert_eq!(both.examine(&by_a), Ok(Seal::Signed("a".into())));
        assert_eq!(both.examine(&by_b), Ok(Seal::Signed("b".into())));
        let known = "\"a\"".to_owned();
        assert_eq!(old.examine(&by_b), Err(SealError::UnknownKey { key: "b".into(), known }));
        let other = keyring(&[("a", 9)], "a", true);
        assert_eq!(other.examine(&by_a), Err(SealError::Forged { key: "a".into() }));
        assert_eq!(both.examine(&unsigned), Err(SealError::Unsigned));
        assert_eq!(keyring(&[("a", 1)], "a", false).examine(&unsigned), Ok(Seal::Unsigned));
        assert_eq!(keyring(&[("a", 9)], "a", false).examine(&by_a), Err(SealError::Forged { key: "a".into() }));
        assert_eq!(none.examine(&unsigned), Ok(Seal::Unsigned));
        assert_eq!(none.examine(&by_a), Ok(Seal::Unchecked("a".into())));
        assert_eq!(Manifest::parse(&by_a).unwrap().mac.unwrap().key_id, "a");
    }

    #[test]
    fn i4_no_bit_of_a_sealed_manifest_can_change_with_or_without_keys() {
        let keys = keyring(&[("a", 1)], "a", true);
        for (sealed, keyring) in [
            (keys.seal(&manifest()).unwrap(), keys),
            (Keyring::default().seal(&manifest()).unwrap(), Keyring::default()),
        ] {
            keyring.examine(&sealed).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut bad = sealed.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(keyring.examine(&bad).is_err(), "bit {bit}");
            }
            for length in 0..sealed.len() {
                assert!(keyring.examine(&sealed[..length]).is_err(), "{length} bytes");
            }
            assert!(keyring.examine(&[&sealed[..], b"\n"].concat()).is_err());
        }
    }

    #[test]
    fn whoever_has_no_key_can_make_a_new_digest_and_no_mac() {
        let keys = keyring(&[("a", 1)], "a", true);
        let sealed = keys.seal(&manifest()).unwrap();
        let text = String::from_utf8(sealed).unwrap();
        let (signed, _) = text.split_at(text.len() - DIGEST_LENGTH);
        let reseal = |signed: &str| {
            let digest = hex::encode(Sha256::digest(signed.as_bytes()));
            format!("{signed}{DIGEST}{digest}\"}}").into_bytes()
        };
        assert!(keys.examine(&reseal(signed)).is_ok());
        let changed = signed.replacen("\"rows\":2", "\"rows\":3", 1);
        assert_ne!(changed, signed);
        assert_eq!(keys.examine(&reseal(&changed)), Err(SealError::Forged { key: "a".into() }));
        let again = signed.replacen(MAC, ",\"x\":1,\"mac\":", 1);
        assert_eq!(keys.examine(&reseal(&again)), Err(SealError::Forged { key: "a".into() }));
        let spaced = signed.replacen(MAC, ",\"mac\": ", 1);
        assert!(matches!(keys.examine(&reseal(&spaced)), Err(SealError::Damaged(_))));
        let elsewhere = signed.replacen(MAC, ",\"cam\":", 1).replacen('{', "{\"mac\":null,", 1);
        assert!(keys.examine(&reseal(&elsewhere)).is_err());
    }

    #[test]
    fn keys_that_cannot_protect_are_refused_and_none_is_printed() {
        let new = |id: &str, key: &str, current: &str| {
            Keyring::new(BTreeMap::from([(id.to_owned(), key.as_bytes().to_vec())]), current, true)
        };
        let secret = "0123456789abcdef0123456789abcdef";
        assert_eq!(new("a", &format!("{secret}\r\n"), "a").unwrap().keys["a"], secret.as_bytes());
        assert_eq!(new("a", "short", "a").unwrap_err(), KeyringError::TooShort { id: "a".into(), length: 5 });
        assert_eq!(new("../a", secret, "../a").unwrap_err(), KeyringError::Id("../a".into()));
        assert!(matches!(new("a", secret, "b").unwrap_err(), KeyringError::CurrentMissing { .. }));
        let debug = format!("{:?}", new("a", secret, "a").unwrap());
        assert!(debug.contains("\"a\"") && !debug.contains("0123") && !debug.contains("48"), "{debug}");
    }
}
