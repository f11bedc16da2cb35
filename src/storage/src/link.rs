//! Presigned links: the one way in which data leaves the bucket without credentials. Whom a link is made for, and
//! where it is shown, is the plugin's.

use super::client::READ;
use super::{Store, StoreError};
use aws_sdk_s3::presigning::PresigningConfig;
use std::time::Duration;

/// The longest life of a link that S3 signs.
const LONGEST: Duration = Duration::from_hours(7 * 24);

impl Store {
    /// A link that downloads the object as `file_name` until `valid` is over (at most seven days, and never longer than
    /// the credentials live that sign it). Whoever has it can read: it belongs into no status, Event or log.
    pub async fn link(&self, key: &str, file_name: &str, valid: Duration) -> Result<String, StoreError> {
        let invalid = |what: String| StoreError::Invalid { bucket: self.bucket().to_owned(), field: "link", what };
        if valid.is_zero() || valid > LONGEST {
            return Err(invalid(format!(
                "it cannot live for {} s: between one second and seven days",
                valid.as_secs()
            )));
        }
        let config = PresigningConfig::expires_in(valid).map_err(|error| invalid(error.to_string()))?;
        // The name goes into a header, between quotes: what could end them is left out.
        let name: String = file_name.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect();
        self.data
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .response_content_disposition(format!("attachment; filename=\"{name}\""))
            .presigned(config)
            .await
            .map(|request| request.uri().to_owned())
            .map_err(|error| StoreError::from_sdk(self.place(READ, key), error))
    }
}
