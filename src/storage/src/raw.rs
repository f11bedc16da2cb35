//! Hooks into the SDK's requests, for what its types cannot say: a Content-MD5 for stores that insist on it, and
//! bodies byte by byte, so that what the SDK does not model survives a read-modify-write. Which requests use them is
//! decided elsewhere.

use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use std::sync::Arc;

/// Adds Content-MD5 of the request's body. New SDKs send a CRC32 instead, which older stores answer with
/// "Missing required header Content-MD5".
#[derive(Debug)]
pub(super) struct ContentMd5;

impl Intercept for ContentMd5 {
    fn name(&self) -> &'static str {
        "ContentMd5"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let digest = context.request().body().bytes().map(Md5::digest);
        if let Some(digest) = digest {
            let value = aws_smithy_types::base64::encode(digest);
            context.request_mut().headers_mut().insert("content-md5", value);
        }
        Ok(())
    }
}

/// Sends this body instead of the one that the SDK wrote; checksums and signature are made afterwards, over this one.
#[derive(Debug)]
pub(super) struct RequestBody(pub Bytes);

impl Intercept for RequestBody {
    fn name(&self) -> &'static str {
        "RequestBody"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        *request.body_mut() = SdkBody::from(self.0.clone());
        // The SDK has set both headers for its own body already.
        request.headers_mut().insert("content-length", self.0.len().to_string());
        let value = aws_smithy_types::base64::encode(Md5::digest(&self.0));
        request.headers_mut().insert("content-md5", value);
        Ok(())
    }
}

/// Keeps the body of the last answer.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerBody(Arc<Mutex<Option<Bytes>>>);

impl AnswerBody {
    /// The body, if there was an answer.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.0.lock().take()
    }
}

impl Intercept for AnswerBody {
    fn name(&self) -> &'static str {
        "AnswerBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // By now the SDK has read the body into memory; earlier there would be a stream, and no bytes to keep.
        let body = context.response().body().bytes().map(Bytes::copy_from_slice);
        *self.0.lock() = body;
        Ok(())
    }
}
