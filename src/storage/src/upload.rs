//! Streaming uploads: one put for a small object, multipart for a larger one, in bounded memory. The object exists only after
//! [`Upload::finish`].

use super::checksum::Crc;
use super::client::{Tags, write_mark};
use super::{Place, PutOptions, Store, StoreError};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

const MIB: usize = 1 << 20;

/// Parts that S3 takes in one upload.
const MAX_PARTS: i32 = 10_000;

/// Memory in bytes that an upload may use, unless the caller sets another limit.
pub const DEFAULT_BUDGET: usize = 48 * MIB;

/// A finished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The object's key.
    pub key: String,
    /// Its length in bytes.
    pub length: i64,
}

/// An object that is being uploaded. It does not exist before [`Upload::finish`] has returned; dropped or aborted, its
/// parts are removed (and the bucket's abort rule removes what a killed process left).
pub struct Upload {
    store: Store,
    key: String,
    tags: Tags,
    content_type: Option<&'static str>,
    mark: String,
    budget: usize,
    buffer: BytesMut,
    length: i64,
    parts: Option<Parts>,
}

/// The multipart half, begun with the first full part.
struct Parts {
    upload_id: String,
    started: i32,
    running: JoinSet<(usize, Result<CompletedPart, StoreError>)>,
    /// Bytes of the parts in `running`.
    in_flight: usize,
    done: Vec<CompletedPart>,
    /// Of all parts begun, in their order.
    checksum: Option<Crc>,
}

impl Parts {
    fn new(upload_id: String) -> Self {
        Self { upload_id, started: 0, running: JoinSet::new(), in_flight: 0, done: Vec::new(), checksum: None }
    }

    /// Waits until at most `bytes` travel; the first part that failed ends it.
    async fn wait_until(&mut self, bytes: usize) -> Result<(), StoreError> {
        // A part that failed is noticed at the next one, and not only when the memory is used up.
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended)?;
        }
        while self.in_flight > bytes {
            let Some(ended) = self.running.join_next().await else {
                return Ok(());
            };
            self.ended(ended)?;
        }
        Ok(())
    }

    fn ended(
        &mut self,
        ended: Result<(usize, Result<CompletedPart, StoreError>), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let (size, sent) = ended.map_err(|error| {
            let place = Box::new(Place { action: "s3:PutObject", bucket: String::new(), key: String::new() });
            StoreError::Damaged { place, what: format!("an upload's task ended: {error}") }
        })?;
        self.in_flight -= size;
        self.done.push(sent?);
        Ok(())
    }
}

impl Store {
    /// Begins an upload of unknown length to `key`, which must not exist yet (checked where the store can), tagged from
    /// the first instant on; without tags of its own it says that Sennight wrote it.
    pub fn upload(&self, key: &str, tags: Tags) -> Upload {
        Upload {
            store: self.clone(),
            key: key.to_owned(),
            tags,
            content_type: None,
            mark: write_mark(),
            budget: DEFAULT_BUDGET,
            buffer: BytesMut::new(),
            length: 0,
            parts: None,
        }
    }

    /// One attempt: an answer that was lost may have begun an upload that nobody knows.
    pub(super) async fn create_multipart_once(
        &self,
        key: &str,
        tags: &Tags,
        content_type: Option<&str>,
        mark: Option<&str>,
    ) -> Result<String, StoreError> {
        let (sse, kms) = self.encryption();
        // Only an upload that is hashed part by part has a checksum of the whole; a server-side copy has none to send.
        let checksum = mark.filter(|_| self.capabilities().checksums).map(|_| ChecksumAlgorithm::Crc64Nvme);
        let mut request = self
            .data
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .content_type(content_type.unwrap_or("application/octet-stream"))
            .set_tagging(self.tagging(tags))
            .set_checksum_type(checksum.is_some().then_some(ChecksumType::FullObject))
            .set_checksum_algorithm(checksum)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms);
        if let Some(mark) = mark {
            let (name, value) = Self::mark(mark);
            request = request.metadata(name, value);
        }
        let place = self.place("s3:PutObject", key);
        // The SDK's own retry would begin a second upload without telling: `create_multipart` retries, and looks for
        // the first.
        let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent = request.customize().config_override(once).send().await;
        let answer = sent.map_err(|error| StoreError::from_sdk(place.clone(), error))?;
        answer.upload_id.ok_or_else(|| StoreError::Damaged { place, what: "the store began no upload".to_owned() })
    }

    /// Best effort: what cannot be aborted now, the bucket's rule aborts after two days.
    pub(super) async fn abort_multipart(&self, key: &str, upload_id: &str) {
        let sent = self
            .control
            .abort_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload_id)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.place("s3:AbortMultipartUpload", key), error));
        if let Err(error) = sent
            && !error.is_not_found()
            && error.code() != Some("NoSuchUpload")
        {
            tracing::warn!(%error, key, "unfinished upload not aborted");
        }
    }

    async fn upload_part(&self, key: &str, upload_id: &str, part: Part) -> Result<CompletedPart, StoreError> {
        let request = self
            .data
            .upload_part()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload_id)
            .part_number(part.number)
            .set_checksum_crc64_nvme(part.checksum.clone())
            .body(ByteStream::from(part.body))
            .customize();
        // Where the store compares a checksum of the bytes, hashing them once more for the signature only costs both sides;
        // the manifest's SHA-256 of each frame is what a forged part has to meet.
        let request = if part.checksum.is_some() { request.disable_payload_signing() } else { request };
        let answer =
            request.send().await.map_err(|error| StoreError::from_sdk(self.place("s3:PutObject", key), error))?;
        Ok(CompletedPart::builder()
            .part_number(part.number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc64_nvme(part.checksum)
            .build())
    }
}

/// One part to upload.
struct Part {
    number: i32,
    checksum: Option<String>,
    body: Bytes,
}

impl Upload {
    /// Lets the upload hold `bytes` of memory (at least 16 MiB): the part being filled and those in flight together.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.budget = bytes.max(16 * MIB);
        self
    }

    /// Sets the content type.
    #[must_use]
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// The key that the object will have.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Bytes written so far.
    pub fn length(&self) -> i64 {
        self.length
    }

    /// Parts grow with the object, 8 → 16 → 64 MiB, so that 10,000 of them suffice and a small object costs little
    /// memory; never more than half of the budget, so that one part fills while another one travels.
    fn part_size(&self) -> usize {
        let wish = match self.parts.as_ref().map_or(0, |parts| parts.started) {
            0..1000 => 8 * MIB,
            1000..3000 => 16 * MIB,
            _ => 64 * MIB,
        };
        wish.min(self.budget / 2 / MIB * MIB)
    }

    /// Adds bytes; waits while the memory budget is used up. After an error the upload can only be aborted.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.length = self.length.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        while !bytes.is_empty() {
            let size = self.part_size();
            let take = bytes.len().min(size - self.buffer.len());
            self.buffer.reserve(size.min(self.buffer.len() + take) - self.buffer.len());
            self.buffer.extend_from_slice(&bytes.split_to(take));
            if self.buffer.len() == size {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Sends the buffer as the next part.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.parts.is_none() {
            let upload_id =
                self.store.create_multipart(&self.key, &self.tags, self.content_type, Some(&self.mark)).await?;
            self.parts = Some(Parts::new(upload_id));
        }
        let place = self.store.place("s3:PutObject", &self.key);
        let (budget, next) = (self.budget, self.part_size());
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        if parts.started >= MAX_PARTS {
            let limit = self.length.unsigned_abs();
            let way_out = "give the upload a larger memory budget, so that its parts may be larger";
            return Err(StoreError::TooLarge { place, limit, way_out });
        }
        // Room for this part and for the next one that fills meanwhile.
        parts.wait_until(budget.saturating_sub(self.buffer.len() + next)).await?;
        parts.started += 1;
        let body = std::mem::take(&mut self.buffer).freeze();
        parts.in_flight += body.len();
        let (store, key, upload_id) = (self.store.clone(), self.key.clone(), parts.upload_id.clone());
        // Not in the task: checksums are put together in the order of parts, and tasks end in any order.
        let checksum = store.capabilities().checksums.then(|| Crc::of(&body));
        if let Some(crc) = checksum {
            parts.checksum = Some(parts.checksum.map_or(crc, |before| before.then(crc)));
        }
        let part = Part { number: parts.started, checksum: checksum.map(Crc::header), body };
        parts.running.spawn(async move {
            let size = part.body.len();
            (size, store.upload_part(&key, &upload_id, part).await)
        });
        Ok(())
    }

    /// Makes the object exist. On an error it does not, and its parts are removed.
    pub async fn finish(mut self) -> Result<Uploaded, StoreError> {
        let finished = self.try_finish().await;
        if finished.is_err() {
            self.abort().await;
        }
        finished
    }

    /// The same, but in parts even if it is small: for the probe.
    pub(super) async fn finish_in_parts(mut self) -> Result<Uploaded, StoreError> {
        let finished = match self.send_part().await {
            Ok(()) => self.try_finish().await,
            Err(error) => Err(error),
        };
        if finished.is_err() {
            self.abort().await;
        }
        finished
    }

    async fn try_finish(&mut self) -> Result<Uploaded, StoreError> {
        let uploaded = Uploaded { key: self.key.clone(), length: self.length };
        if self.parts.is_none() {
            // What never filled a part goes in one request instead of three.
            let options = PutOptions { exclusive: true, tags: self.tags.clone(), content_type: self.content_type };
            let body = std::mem::take(&mut self.buffer).freeze();
            self.store.put(&self.key, body, &options).await?;
            return Ok(uploaded);
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        let Some(parts) = &mut self.parts else {
            return Ok(uploaded);
        };
        parts.wait_until(0).await?;
        // S3 wants parts in ascending order; they ended in another one.
        parts.done.sort_by_key(CompletedPart::part_number);
        let (upload_id, done, checksum) = (parts.upload_id.clone(), std::mem::take(&mut parts.done), parts.checksum);
        self.complete(&upload_id, done, checksum).await?;
        // From here on the object exists: neither `abort` nor `drop` may touch the upload any more.
        self.parts = None;
        Ok(uploaded)
    }

    /// The store compares length and checksum of what it put together with ours.
    async fn complete(
        &self,
        upload_id: &str,
        done: Vec<CompletedPart>,
        checksum: Option<Crc>,
    ) -> Result<(), StoreError> {
        let completed = self
            .store
            .data
            .complete_multipart_upload()
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(upload_id)
            // Of two uploads to one key the second ends here: a backup is never put together from two processes.
            .set_if_none_match(self.store.if_none_match(true))
            .set_checksum_type(checksum.map(|_| ChecksumType::FullObject))
            .set_checksum_crc64_nvme(checksum.map(Crc::header))
            .set_mpu_object_size(checksum.map(|_| self.length))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(done)).build())
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.store.place("s3:PutObject", &self.key), error));
        match completed {
            Ok(_) => Ok(()),
            // The answer to an earlier attempt was lost: the object is there and it is ours.
            Err(_) if self.store.wrote(&self.key, &self.mark).await.unwrap_or(false) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the upload up; nothing will exist under the key.
    pub async fn abort(mut self) {
        if let Some(mut parts) = self.parts.take() {
            // A part that lands after the abort would stay behind, so none may be on its way.
            parts.running.shutdown().await;
            self.store.abort_multipart(&self.key, &parts.upload_id).await;
        }
    }
}

impl Drop for Upload {
    /// For the paths that end by `?` or by cancellation: the abort runs on in the background.
    fn drop(&mut self) {
        if let (Some(mut parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            let (store, key) = (self.store.clone(), std::mem::take(&mut self.key));
            runtime.spawn(async move {
                parts.running.shutdown().await;
                store.abort_multipart(&key, &parts.upload_id).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credentials;

    #[tokio::test]
    async fn parts_grow_with_the_object_and_never_exceed_half_of_the_budget() {
        let target = serde_json::from_str(r#"{"bucket":"b","endpoint":"http://127.0.0.1:1"}"#).unwrap();
        let store = Store::with_credentials(&target, Credentials::new("a", "b", None)).await.unwrap();
        for (budget, expected) in [(256, [8, 8, 16, 64]), (48, [8, 8, 16, 24]), (1, [8, 8, 8, 8])] {
            let mut upload = store.upload("k", Tags::new()).memory(budget * MIB);
            for (started, size) in [0, 999, 1000, 3000].into_iter().zip(expected) {
                upload.parts = Some(Parts { started, ..Parts::new("id".into()) });
                assert_eq!(upload.part_size(), size * MIB, "part {started} of a budget of {budget} MiB");
            }
            upload.parts = None;
        }
    }
}
