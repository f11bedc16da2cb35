//! Computes CRC64NVME checksums of parts, and puts them together to that of the whole object. Sending them is in
//! `upload`.
//!
//! They are made here because the SDK makes none under `WhenRequired`, even when asked for. And only our own can be
//! put together, so that the store compares the whole object when an upload is completed.

use crc_fast::CrcAlgorithm::Crc64Nvme;

/// The checksum of bytes that may still be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crc {
    value: u64,
    length: u64,
}

impl Crc {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { value: crc_fast::checksum(Crc64Nvme, bytes), length: bytes.len() as u64 }
    }

    /// Of these bytes and then `next`'s.
    pub fn then(self, next: Self) -> Self {
        Self {
            value: crc_fast::checksum_combine(Crc64Nvme, self.value, next.value, next.length),
            length: self.length + next.length,
        }
    }

    /// As S3's headers have it.
    pub fn header(self) -> String {
        aws_smithy_types::base64::encode(self.value.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_is_the_catalogues() {
        assert_eq!(Crc::of(b"123456789").value, 0xae8b_1486_0a79_9888);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(one: Vec<u8>, two: Vec<u8>) {
            prop_assert_eq!(Crc::of(&one).then(Crc::of(&two)), Crc::of(&[one, two].concat()));
        }
    }
}
