//! Server-side copies of objects, and object tags.

use super::client::{READ, Tags, absent};
use super::{Store, StoreError};
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Tag, Tagging, TaggingDirective};
use sennight_core::retention::our_tags;
use std::fmt::Write as _;

/// The longest object that one copy request takes.
const COPY_LIMIT: i64 = 5 << 30;

/// Ranges of longer copies: small enough for the server to finish one within the time limit.
const COPY_PART: i64 = 512 << 20;

impl Store {
    /// Copies an object inside the bucket. Its tags are replaced by `tags`, not inherited: a copy that kept
    /// `retain=daily` would expire with the original.
    pub async fn copy(&self, from: &str, to: &str, tags: &Tags) -> Result<(), StoreError> {
        let length = self.head(from).await?.length;
        if length <= COPY_LIMIT {
            self.copy_whole(from, to, tags).await
        } else {
            self.copy_ranges(from, to, tags, length, COPY_PART).await
        }
    }

    /// The same in ranges of `part` bytes (at least 5 MiB), as [`Store::copy`] does with objects over 5 GiB.
    pub async fn copy_in_parts(&self, from: &str, to: &str, tags: &Tags, part: i64) -> Result<(), StoreError> {
        let length = self.head(from).await?.length;
        self.copy_ranges(from, to, tags, length, part.max(5 << 20)).await
    }

    async fn copy_whole(&self, from: &str, to: &str, tags: &Tags) -> Result<(), StoreError> {
        let (sse, kms) = self.encryption();
        let replace = self.capabilities().tagging.then_some(TaggingDirective::Replace);
        self.data
            .copy_object()
            .bucket(self.bucket())
            .copy_source(self.copy_source(from))
            .key(to)
            .set_tagging_directive(replace)
            .set_tagging(self.tagging(tags))
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.source_error(from, to, StoreError::from_sdk(self.place("s3:PutObject", to), error)))
    }

    /// The error of a copy is about its source when that is what is missing.
    fn source_error(&self, from: &str, to: &str, error: StoreError) -> StoreError {
        match error {
            StoreError::NotFound { place } if place.key == to => StoreError::NotFound { place: self.place(READ, from) },
            other => other,
        }
    }

    async fn copy_ranges(&self, from: &str, to: &str, tags: &Tags, length: i64, part: i64) -> Result<(), StoreError> {
        // Tags come with the beginning: completing an upload takes none, and untagged objects would match no rule.
        let upload_id = self.create_multipart(to, tags, None, None).await?;
        let copied = async {
            let mut parts = Vec::new();
            let mut offset = 0;
            while offset < length {
                let end = length.min(offset + part);
                let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
                parts.push(self.copy_part(from, to, &upload_id, number, offset..end).await?);
                offset = end;
            }
            self.complete_copy(to, &upload_id, parts).await
        }
        .await;
        // Parts that nobody completes take room, and no listing of objects shows them.
        if copied.is_err() {
            self.abort_multipart(to, &upload_id).await;
        }
        copied
    }

    async fn copy_part(
        &self,
        from: &str,
        to: &str,
        upload_id: &str,
        number: i32,
        range: std::ops::Range<i64>,
    ) -> Result<CompletedPart, StoreError> {
        // The SDK takes the silence of a long copy for a stalled stream (smithy-rs#4439).
        let patient =
            aws_sdk_s3::config::Builder::new().stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let answer = self
            .data
            .upload_part_copy()
            .bucket(self.bucket())
            .copy_source(self.copy_source(from))
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
            .key(to)
            .upload_id(upload_id)
            .part_number(number)
            .customize()
            .config_override(patient)
            .send()
            .await
            .map_err(|error| {
                self.source_error(from, to, StoreError::from_sdk(self.place("s3:PutObject", to), error))
            })?;
        let etag = answer.copy_part_result().and_then(|part| part.e_tag()).unwrap_or_default();
        Ok(CompletedPart::builder().part_number(number).e_tag(etag).build())
    }

    async fn complete_copy(&self, to: &str, upload_id: &str, parts: Vec<CompletedPart>) -> Result<(), StoreError> {
        self.data
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(to)
            .upload_id(upload_id)
            // No `If-None-Match`: a hold that is repeated replaces what an interrupted one left behind.
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| StoreError::from_sdk(self.place("s3:PutObject", to), error))
    }

    fn copy_source(&self, key: &str) -> String {
        // The SDK sends this header as it is given, and S3 decodes it: unencoded, an odd key would name another object.
        format!("{}/{}", percent(self.bucket(), b""), percent(key, b"/"))
    }

    /// An object's tags.
    pub async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        let answer = self
            .control
            .get_object_tagging()
            .bucket(self.bucket())
            .key(key)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.place("s3:GetObjectTagging", key), error))?;
        Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// An object's tags, or `None` if the object does not exist.
    pub async fn tags_opt(&self, key: &str) -> Result<Option<Tags>, StoreError> {
        absent(self.tags(key).await)
    }

    /// Replaces all tags of an object.
    pub async fn put_tags(&self, key: &str, tags: &Tags) -> Result<(), StoreError> {
        let wrong = |what: String| StoreError::Invalid { bucket: self.bucket().to_owned(), field: "tags", what };
        let set = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let tagging = Tagging::builder().set_tag_set(Some(set)).build().map_err(|error| wrong(error.to_string()))?;
        self.control
            .put_object_tagging()
            .bucket(self.bucket())
            .key(key)
            .tagging(tagging)
            .customize()
            // Older stores refuse tags without this header.
            .interceptor(super::raw::ContentMd5)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| StoreError::from_sdk(self.place("s3:PutObjectTagging", key), error))
    }

    /// The `x-amz-tagging` header; nothing where the store has no tags (some refuse the header). No object is written
    /// without tags: lifecycle rules know ours by them.
    pub(super) fn tagging(&self, tags: &Tags) -> Option<String> {
        if !self.capabilities().tagging {
            return None;
        }
        let ours = our_tags();
        let tags = if tags.is_empty() { &ours } else { tags };
        let pairs: Vec<String> =
            tags.iter().map(|(key, value)| format!("{}={}", percent(key, b""), percent(value, b""))).collect();
        Some(pairs.join("&"))
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters and `keep`.
fn percent(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn odd_keys_are_encoded() {
        assert_eq!(percent("a/b c+é", b"/"), "a/b%20c%2B%C3%A9");
        assert_eq!(percent("2026-11-22T02:10:00Z", b""), "2026-11-22T02%3A10%3A00Z");
    }
}
