//! Errors of requests to a bucket, classified by what people or the operator must do about them.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use sennight_protocol::report::TaskError;
use std::error::Error;
use std::fmt;

/// What lies below a [`StoreError`].
pub type Cause = Box<dyn Error + Send + Sync>;

/// Which request it was: the S3 action and the object (or the bucket, when `key` is empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The permission that the request needs, e.g. `s3:PutObject`.
    pub action: &'static str,
    /// The bucket.
    pub bucket: String,
    /// The key, or a prefix; empty for requests about the bucket.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// The store's answer to a request that it refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message} (HTTP {status}, request {request_id})")]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// S3 error code; empty when there was none (answers to HEAD have no body).
    pub code: String,
    /// The store's message.
    pub message: String,
    /// For the store's support.
    pub request_id: String,
}

/// Why a request to a bucket did not do what it should. The variant's name is the reason in conditions, Events and
/// metrics.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum StoreError {
    /// The object does not exist (never did, or expired).
    #[error("{place} does not exist")]
    NotFound {
        /// What was asked for.
        place: Box<Place>,
    },
    /// A put with `If-None-Match: *` met an object of somebody else.
    #[error("{place} exists already and is never overwritten")]
    AlreadyExists {
        /// What was to be written.
        place: Box<Place>,
    },
    /// The credentials are known, but lack the right.
    #[error("{place}: access denied: allow the credentials {} there ({source})", place.action)]
    AccessDenied {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The store does not know the credentials, or they are over.
    #[error("bucket {}: the store refuses the credentials: check access key, secret key, session token and the clock ({source})", place.bucket)]
    BadCredentials {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// There are no credentials at all.
    #[error("bucket {}: no credentials to be had: name a credentials Secret, or give the pod's service account a role ({source})", place.bucket)]
    NoCredentials {
        /// What was asked for.
        place: Box<Place>,
        /// What the chain of providers says.
        source: Cause,
    },
    /// The bucket does not exist.
    #[error("bucket {} does not exist at this endpoint: create it, or correct bucket, region or endpoint ({source})", place.bucket)]
    NoSuchBucket {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The store is full, or the bucket's quota is.
    #[error("{place}: the store has no room left: raise the bucket's quota or add disks ({source})")]
    OutOfSpace {
        /// What was to be written.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The endpoint did not answer at all.
    #[error("{place}: the endpoint cannot be reached: check endpoint, DNS, network policy and TLS ({source})")]
    Unreachable {
        /// What was asked for.
        place: Box<Place>,
        /// What the network says.
        source: Cause,
    },
    /// No answer in time.
    #[error("{place}: the store did not answer in time ({source})")]
    TimedOut {
        /// What was asked for.
        place: Box<Place>,
        /// Which limit it was.
        source: Cause,
    },
    /// The store answered that it cannot now.
    #[error("{place}: the store cannot serve now ({source})")]
    Unavailable {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The store does not know the request.
    #[error("{place}: the store has no {} ({source})", place.action)]
    NotImplemented {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The store refused the request for another reason.
    #[error("{place}: the store refused {} ({source})", place.action)]
    Refused {
        /// What was asked for.
        place: Box<Place>,
        /// The store's words.
        source: Box<Answer>,
    },
    /// The connection ended early, or the answer was not what its headers said.
    #[error("{place}: {what}")]
    Damaged {
        /// What was asked for.
        place: Box<Place>,
        /// What does not fit.
        what: String,
    },
    /// An object of ours that does not hold what it should.
    #[error("{place} cannot be read: {source}; it was not written by this version of Sennight")]
    Unreadable {
        /// The object.
        place: Box<Place>,
        /// What is wrong with it.
        source: Cause,
    },
    /// More bytes than this kind of object may have.
    #[error("{place} has more than {limit} bytes: {way_out}")]
    TooLarge {
        /// The object.
        place: Box<Place>,
        /// The limit in bytes.
        limit: u64,
        /// What to do.
        way_out: &'static str,
    },
    /// The settings of the storage cannot work.
    #[error("bucket {bucket}: {field} is not usable: {what}")]
    Invalid {
        /// The bucket.
        bucket: String,
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        what: String,
    },
    /// The store cannot do what an invariant rests on.
    #[error("bucket {bucket}: {feature} is not to be had: {way_out}")]
    Unsupported {
        /// The bucket.
        bucket: String,
        /// What is missing.
        feature: &'static str,
        /// What to do.
        way_out: &'static str,
    },
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        Self::of(error.reason(), error.retryable(), &error)
    }
}

impl StoreError {
    /// Reason in CamelCase for conditions, Events and metrics.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// Whether another attempt may succeed though nobody changed anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::OutOfSpace { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Unavailable { .. }
            | Self::Damaged { .. } => true,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::AccessDenied { .. }
            | Self::BadCredentials { .. }
            | Self::NoCredentials { .. }
            | Self::NoSuchBucket { .. }
            | Self::NotImplemented { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The store's error code, where it answered.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::AccessDenied { source, .. }
            | Self::BadCredentials { source, .. }
            | Self::NoSuchBucket { source, .. }
            | Self::OutOfSpace { source, .. }
            | Self::Unavailable { source, .. }
            | Self::NotImplemented { source, .. }
            | Self::Refused { source, .. } => Some(&source.code),
            _ => None,
        }
    }

    /// Sorts an SDK error. Neither headers nor bodies of requests or answers are kept: they may carry secrets.
    pub(crate) fn from_sdk<E>(place: Box<Place>, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let answer = Answer {
                    status: service.raw().status().as_u16(),
                    code: service.err().code().unwrap_or_default().to_owned(),
                    message: service.err().message().unwrap_or("no message").to_owned(),
                    request_id: service.err().request_id().unwrap_or("unknown").to_owned(),
                };
                Self::from_answer(place, Box::new(answer))
            }
            SdkError::TimeoutError(_) => Self::TimedOut { place, source: "the request's time limit passed".into() },
            // The SDK has no error of its own for "no provider had credentials": it comes as this one, or as a failed
            // construction, and only the text tells.
            SdkError::DispatchFailure(failure) => {
                let timeout = failure.is_timeout();
                let text = failure.as_connector_error().map_or_else(|| "no connection".to_owned(), chain);
                if timeout {
                    Self::TimedOut { place, source: text.into() }
                } else if failure.is_io() || !mentions_credentials(&text) {
                    Self::Unreachable { place, source: text.into() }
                } else {
                    Self::NoCredentials { place, source: text.into() }
                }
            }
            SdkError::ConstructionFailure(_) => {
                let text = chain(&error);
                if mentions_credentials(&text) {
                    Self::NoCredentials { place, source: text.into() }
                } else {
                    Self::Invalid { bucket: place.bucket, field: "storage", what: text }
                }
            }
            other => Self::Damaged { place, what: format!("the answer is not S3: {}", chain(&other)) },
        }
    }

    pub(crate) fn from_answer(place: Box<Place>, source: Box<Answer>) -> Self {
        match (source.code.as_str(), source.status) {
            // Codes before statuses: a missing bucket is a 404 as a missing key is, and bad credentials are a 403.
            ("NoSuchBucket", _) => Self::NoSuchBucket { place, source },
            ("NoSuchKey" | "NotFound" | "NoSuchVersion", _) | ("", 404) => Self::NotFound { place },
            ("PreconditionFailed", _) | (_, 412) => Self::AlreadyExists { place },
            (
                "InvalidAccessKeyId"
                // versitygw's word for an unknown access key.
                | "XAdminUserNotFound"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "RequestTimeTooSkewed",
                _,
            ) => Self::BadCredentials { place, source },
            // The first two are MinIO's.
            ("XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded" | "InsufficientStorage", _)
            | (_, 507) => Self::OutOfSpace { place, source },
            ("NotImplemented", _) | (_, 501) => Self::NotImplemented { place, source },
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 401 | 403) => {
                Self::AccessDenied { place, source }
            }
            // S3 sends it with 400 when a body came too slowly: nothing is wrong with the request.
            ("RequestTimeout", _) => Self::TimedOut { place, source },
            ("SlowDown" | "ConditionalRequestConflict" | "OperationAborted", _) | (_, 429 | 500..=599) => {
                Self::Unavailable { place, source }
            }
            _ => Self::Refused { place, source },
        }
    }
}

fn chain(error: &(impl Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        // Some errors print their source themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

fn mentions_credentials(text: &str) -> bool {
    let lower = text.to_lowercase();
    lower.contains("credential") || lower.contains("identity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_box_returns, reason = "as errors hold it")]
    fn place() -> Box<Place> {
        Box::new(Place { action: "s3:PutObject", bucket: "b".into(), key: "k".into() })
    }

    fn answer(code: &str, status: u16) -> StoreError {
        let answer = Answer { status, code: code.into(), message: "m".into(), request_id: "r".into() };
        StoreError::from_answer(place(), Box::new(answer))
    }

    #[test]
    fn answers_are_sorted_by_what_must_be_done() {
        for (code, status, reason, retryable) in [
            ("NoSuchKey", 404, "NotFound", false),
            ("", 404, "NotFound", false),
            ("NoSuchBucket", 404, "NoSuchBucket", false),
            ("PreconditionFailed", 412, "AlreadyExists", false),
            ("ConditionalRequestConflict", 409, "Unavailable", true),
            ("AccessDenied", 403, "AccessDenied", false),
            ("", 403, "AccessDenied", false),
            ("InvalidAccessKeyId", 403, "BadCredentials", false),
            ("SignatureDoesNotMatch", 403, "BadCredentials", false),
            ("ExpiredToken", 400, "BadCredentials", false),
            ("XMinioStorageFull", 507, "OutOfSpace", true),
            ("XMinioAdminBucketQuotaExceeded", 400, "OutOfSpace", true),
            ("SlowDown", 503, "Unavailable", true),
            ("InternalError", 500, "Unavailable", true),
            ("NotImplemented", 501, "NotImplemented", false),
            ("RequestTimeout", 400, "TimedOut", true),
            ("MalformedXML", 400, "Refused", false),
        ] {
            let error = answer(code, status);
            assert_eq!((error.reason(), error.retryable()), (reason, retryable), "{code} {status}");
        }
    }

    #[test]
    fn a_message_names_bucket_key_action_and_the_way_out() {
        let text = answer("AccessDenied", 403).to_string();
        assert!(text.contains("s3://b/k") && text.contains("allow the credentials s3:PutObject"), "{text}");
    }
}
