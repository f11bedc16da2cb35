//! The key pair that requests are signed with, from a Secret's values or files. The ambient chain of AWS is in
//! `connect`. Nothing here can be printed.

use super::StoreError;
use aws_sdk_s3::config::Credentials as SdkCredentials;
use std::path::Path;

/// A static key pair, perhaps with a session token. Has no Debug on purpose: it cannot get into a log by accident.
#[derive(Clone)]
pub struct Credentials(SdkCredentials);

impl Credentials {
    /// From the three values of a Secret; white space around them (a trailing newline) does not matter.
    pub fn new(access_key_id: &str, secret_access_key: &str, session_token: Option<&str>) -> Self {
        let token = session_token.map(str::trim).filter(|t| !t.is_empty());
        Self(SdkCredentials::new(
            access_key_id.trim(),
            secret_access_key.trim(),
            token.map(str::to_owned),
            None,
            "sennight-secret",
        ))
    }

    /// From the files `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN` of a mounted Secret.
    /// Read at each call, so a rotated Secret is seen by the next connection.
    pub async fn from_dir(bucket: &str, dir: &str) -> Result<Self, StoreError> {
        let read = async |name: &str| tokio::fs::read_to_string(Path::new(dir).join(name)).await;
        let need = async |name: &'static str| {
            let wrong = |what: String| StoreError::Invalid { bucket: bucket.to_owned(), field: name, what };
            let text = read(name).await.map_err(|error| {
                wrong(format!("{dir}/{name} cannot be read ({error}): add it to the credentials Secret"))
            })?;
            match text.trim() {
                "" => Err(wrong(format!("{dir}/{name} is empty: fill it in the credentials Secret"))),
                value => Ok(value.to_owned()),
            }
        };
        let id = need("AWS_ACCESS_KEY_ID").await?;
        let secret = need("AWS_SECRET_ACCESS_KEY").await?;
        // Only temporary key pairs have a token, so that the file is mostly not there.
        let token = read("AWS_SESSION_TOKEN").await.ok();
        Ok(Self::new(&id, &secret, token.as_deref()))
    }

    pub(super) fn into_sdk(self) -> SdkCredentials {
        self.0
    }
}
