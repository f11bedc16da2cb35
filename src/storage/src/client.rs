//! Requests to one bucket: get, head, put, list, delete. Each names the permission that it needs, so that an error can say what
//! to allow.

use super::checksum::Crc;
use super::{Place, StoreError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use sennight_core::capabilities::Capabilities;
use sennight_core::manifest::Keyring;
use sennight_core::names::Keys;
use sennight_protocol::target::StorageTarget;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An object's tags.
pub type Tags = BTreeMap<String, String>;

/// What [`Store::get`] reads into memory at most: manifests and reports are far smaller.
pub const GET_LIMIT: u64 = 128 << 20;

/// User metadata of a conditional put. By it a retry recognises its own object, if the first answer was lost.
const WRITE_MARK: &str = "sennight-write";

/// Permissions for reading. Without the second one S3 answers "access denied" for a missing object.
pub(super) const READ: &str = "s3:GetObject and s3:ListBucket";

/// How often a body that broke off, or a conditional put that met another one, is tried again.
const TRIES: u32 = 5;

/// One bucket under one prefix. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// Small requests: short time limit.
    pub(super) control: aws_sdk_s3::Client,
    /// Requests that carry data: long time limit, more attempts.
    pub(super) data: aws_sdk_s3::Client,
    pub(super) target: Arc<StorageTarget>,
    pub(super) keys: Keys,
    pub(super) keyring: Arc<Keyring>,
}

/// How an object is put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// Refuse to overwrite (`If-None-Match: *`), where the store can.
    pub exclusive: bool,
    /// Tags from the first instant on; left out where the store has none. Empty: that Sennight wrote it.
    pub tags: Tags,
    /// Content type; absent is `application/octet-stream`.
    pub content_type: Option<&'static str>,
}

impl PutOptions {
    /// A JSON object that may replace an earlier one.
    pub fn json() -> Self {
        Self { content_type: Some("application/json"), ..Self::default() }
    }

    /// The same, refusing to overwrite.
    #[must_use]
    pub fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }

    /// The same with tags.
    #[must_use]
    pub fn tags(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }
}

/// What HEAD says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Length in bytes.
    pub length: i64,
    /// Entity tag, as the store gives it.
    pub etag: String,
    /// When it was stored, as lifecycle rules count it.
    pub last_modified: Option<DateTime<Utc>>,
    /// `x-amz-expiration`: which rule deletes it when. Many stores do not say.
    pub expiration: Option<String>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Length in bytes.
    pub length: i64,
    /// When it was stored.
    pub last_modified: Option<DateTime<Utc>>,
}

impl Store {
    /// Key names of this storage.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Keys that manifests are signed and checked with.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.target.bucket
    }

    /// The settings that it was connected with.
    pub fn target(&self) -> &StorageTarget {
        &self.target
    }

    /// Optional S3 features that the store supports.
    pub fn capabilities(&self) -> Capabilities {
        self.target.capabilities
    }

    /// The same store with other capabilities, as a probe found them.
    #[must_use]
    pub fn with_capabilities(&self, capabilities: Capabilities) -> Self {
        let target = StorageTarget { capabilities, ..(*self.target).clone() };
        Self { target: Arc::new(target), ..self.clone() }
    }

    #[allow(clippy::unnecessary_box_returns, reason = "errors hold it boxed, to stay small")]
    pub(super) fn place(&self, action: &'static str, key: &str) -> Box<Place> {
        Box::new(Place { action, bucket: self.target.bucket.clone(), key: key.to_owned() })
    }

    /// A whole object of at most [`GET_LIMIT`] bytes.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.read(key, None).await
    }

    /// A whole object, or `None` if it does not exist.
    pub async fn get_opt(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        absent(self.get(key).await)
    }

    /// `length` bytes from `offset` on; fewer are an error.
    pub async fn get_range(&self, key: &str, offset: i64, length: i64) -> Result<Bytes, StoreError> {
        if offset < 0 || length <= 0 {
            let what = format!("a range of {length} bytes at {offset} does not exist");
            return Err(StoreError::Damaged { place: self.place(READ, key), what });
        }
        self.read(key, Some((offset, length))).await
    }

    /// The SDK retries requests, but not bodies that break off: those are retried here.
    async fn read(&self, key: &str, range: Option<(i64, i64)>) -> Result<Bytes, StoreError> {
        let mut tries = 1;
        loop {
            // All other failures were retried inside the SDK, or would not end differently.
            match self.read_once(key, range).await {
                Err(StoreError::Damaged { .. }) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn read_once(&self, key: &str, range: Option<(i64, i64)>) -> Result<Bytes, StoreError> {
        let place = || self.place(READ, key);
        let header = range.map(|(offset, length)| format!("bytes={offset}-{}", offset + length - 1));
        let answer = self
            .data
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .set_range(header)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(place(), error))?;
        let announced = u64::try_from(answer.content_length().unwrap_or_default()).unwrap_or_default();
        let expected = range.map_or(announced, |(_, length)| length.unsigned_abs());
        if range.is_none() && announced > GET_LIMIT {
            let way_out = "this is no object of Sennight's, remove it";
            return Err(StoreError::TooLarge { place: place(), limit: GET_LIMIT, way_out });
        }
        let mut body = answer.body;
        let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or_default());
        while let Some(chunk) = body
            .try_next()
            .await
            .map_err(|error| StoreError::Damaged { place: place(), what: format!("the download broke off: {error}") })?
        {
            bytes.extend_from_slice(&chunk);
            // A store that sends more than it announced must not fill the memory; the length is refused below.
            if bytes.len() as u64 > expected {
                break;
            }
        }
        if bytes.len() as u64 == expected {
            return Ok(bytes.freeze());
        }
        let what = format!("{} bytes came instead of {expected}", bytes.len());
        Err(StoreError::Damaged { place: place(), what })
    }

    /// Length, tags' expiry and metadata of an object, by HEAD.
    pub async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let answer = self
            .control
            .head_object()
            .bucket(self.bucket())
            .key(key)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.place(READ, key), error))?;
        Ok(ObjectHead {
            length: answer.content_length().unwrap_or_default(),
            etag: answer.e_tag().unwrap_or_default().to_owned(),
            last_modified: answer.last_modified().and_then(time),
            expiration: answer.expiration().map(str::to_owned),
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
        })
    }

    /// What HEAD says, or `None` if the object does not exist.
    pub async fn head_opt(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        absent(self.head(key).await)
    }

    /// Puts a small object in one request. An exclusive put that finds its own object there, because the answer to an
    /// earlier attempt was lost, has succeeded.
    pub async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<(), StoreError> {
        // One mark for all attempts, the SDK's own among them: only so is an object known again whose answer was lost.
        let mark = write_mark();
        let mut tries = 1;
        loop {
            match self.put_once(key, body.clone(), options, &mark).await {
                Err(StoreError::AlreadyExists { .. }) if self.wrote(key, &mark).await? => return Ok(()),
                // Two conditional puts at the same time: AWS asks both to retry.
                Err(error) if error.code() == Some("ConditionalRequestConflict") && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn put_once(&self, key: &str, body: Bytes, options: &PutOptions, mark: &str) -> Result<(), StoreError> {
        let (sse, kms) = self.encryption();
        let checksum = self.capabilities().checksums.then(|| Crc::of(&body).header());
        self.data
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .content_type(options.content_type.unwrap_or("application/octet-stream"))
            .set_tagging(self.tagging(&options.tags))
            .set_if_none_match(self.if_none_match(options.exclusive))
            .set_checksum_crc64_nvme(checksum)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms)
            .metadata(WRITE_MARK, mark)
            .body(ByteStream::from(body))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| StoreError::from_sdk(self.place("s3:PutObject", key), error))
    }

    /// Whether Sennight wrote the object under `key`, as the object itself says.
    pub(super) async fn is_marked(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.head_opt(key).await?.is_some_and(|head| head.metadata.contains_key(WRITE_MARK)))
    }

    /// Whether the object under `key` was written with this mark.
    pub(super) async fn wrote(&self, key: &str, mark: &str) -> Result<bool, StoreError> {
        let head = self.head_opt(key).await?;
        Ok(head.is_some_and(|head| head.metadata.get(WRITE_MARK).is_some_and(|m| m == mark)))
    }

    pub(super) fn mark(mark: &str) -> (&'static str, String) {
        (WRITE_MARK, mark.to_owned())
    }

    pub(super) fn if_none_match(&self, exclusive: bool) -> Option<String> {
        (exclusive && self.capabilities().conditional_put).then(|| "*".to_owned())
    }

    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        let asked = self.target.encryption.as_ref();
        (
            asked.map(|sse| ServerSideEncryption::from(sse.algorithm.as_str())),
            asked.and_then(|sse| sse.kms_key_id.clone()),
        )
    }

    /// Deletes objects, in the order given; those that are not there do not matter.
    pub async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        // S3 takes a thousand keys in one request. Batches run one after another: callers rely on the order (I4).
        for batch in keys.chunks(1000) {
            let result = match batch {
                [key] => self.delete_one(key).await,
                many => self.delete_batch(many).await,
            };
            match result {
                // Stores without batch deletion (GCS): one by one.
                Err(StoreError::NotImplemented { .. }) => {
                    for key in batch {
                        self.delete_one(key).await?;
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn delete_one(&self, key: &str) -> Result<(), StoreError> {
        let place = self.place("s3:DeleteObject", key);
        let sent = self.control.delete_object().bucket(self.bucket()).key(key).send().await;
        absent(sent.map(|_| ()).map_err(|error| StoreError::from_sdk(place, error))).map(|_| ())
    }

    async fn delete_batch(&self, keys: &[String]) -> Result<(), StoreError> {
        let invalid = |key: &str, what: String| StoreError::Damaged { place: self.place("s3:DeleteObject", key), what };
        let objects: Vec<ObjectIdentifier> = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<_, _>>()
            .map_err(|error| invalid("", error.to_string()))?;
        let batch = Delete::builder()
            .set_objects(Some(objects))
            // The answer then lists failures only; a thousand deleted keys need not come back.
            .quiet(true)
            .build()
            .map_err(|error| invalid("", error.to_string()))?;
        let answer = self
            .control
            .delete_objects()
            .bucket(self.bucket())
            .delete(batch)
            .customize()
            .interceptor(super::raw::ContentMd5)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(self.place("s3:DeleteObject", ""), error))?;
        // S3 answers 200 even if single keys failed: they stand in the body.
        let failed = answer.errors().iter().find(|e| e.code() != Some("NoSuchKey"));
        failed.map_or(Ok(()), |error| {
            let source = Box::new(super::Answer {
                status: 200,
                code: error.code().unwrap_or_default().to_owned(),
                message: error.message().unwrap_or_default().to_owned(),
                request_id: "unknown".to_owned(),
            });
            Err(StoreError::from_answer(self.place("s3:DeleteObject", error.key().unwrap_or_default()), source))
        })
    }
}

/// Random text that tells one write from every other.
pub(super) fn write_mark() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(super) fn absent<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn time(time: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
