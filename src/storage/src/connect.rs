//! Makes SDK clients from a storage's settings: endpoint, region, trust, credentials, timeouts, retries, checksums.
//! No request is made here.

use super::{Credentials, Store, StoreError};
use aws_config::BehaviorVersion;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    SharedHttpClient,
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sennight_core::manifest::Keyring;
use sennight_core::names::Keys;
use sennight_protocol::target::StorageTarget;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// Small requests answer within this, or are tried again.
const CONTROL_ATTEMPT: Duration = Duration::from_secs(30);
/// 64 MiB at a quarter of a megabyte a second; a stream that stalls altogether ends earlier, by the SDK's own watch.
const DATA_ATTEMPT: Duration = Duration::from_mins(5);

/// What a process that holds Secret values brings along, instead of files.
#[derive(Clone, Default)]
pub struct Access {
    /// Absent: the ambient chain (environment, IRSA, Pod Identity, IMDS).
    pub credentials: Option<Credentials>,
    /// PEM certificates to trust besides the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// Keys of manifests by id, where the storage's settings name some.
    pub manifest_keys: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Connects as a worker does: credentials and CA from the files that `target` names. No request is made yet.
    pub async fn connect(target: &StorageTarget) -> Result<Self, StoreError> {
        let credentials = match &target.credentials_dir {
            Some(dir) => Some(Credentials::from_dir(&target.bucket, dir).await?),
            None => None,
        };
        let ca_bundle = match &target.ca_file {
            Some(file) => Some(
                tokio::fs::read(file)
                    .await
                    .map_err(|error| invalid(target, "caFile", format!("{file} cannot be read ({error})")))?,
            ),
            None => None,
        };
        let manifest_keys = match target.manifest_keys.as_ref().and_then(|keys| keys.dir.as_ref()) {
            Some(dir) => key_files(dir)
                .await
                .map_err(|error| invalid(target, "manifestKeys", format!("{dir} cannot be read ({error})")))?,
            None => BTreeMap::new(),
        };
        Self::with_access(target, Access { credentials, ca_bundle, manifest_keys }).await
    }

    /// Connects with a key pair in memory, as the operator does; the files that `target` names are not read.
    pub async fn with_credentials(target: &StorageTarget, credentials: Credentials) -> Result<Self, StoreError> {
        let access = Access { credentials: Some(credentials), ..Access::default() };
        Self::with_access(target, access).await
    }

    /// Connects with what the caller holds; the files that `target` names are not read.
    pub async fn with_access(target: &StorageTarget, access: Access) -> Result<Self, StoreError> {
        let keyring = keyring(target, &access)?;
        let builder = builder(target, access).await?;
        // Two clients, because the limit for one attempt differs: a small answer is late after 30 s, 64 MiB are not.
        let control = builder
            .clone()
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts(CONTROL_ATTEMPT))
            .build();
        let data = builder
            .retry_config(RetryConfig::standard().with_max_attempts(8))
            .timeout_config(timeouts(DATA_ATTEMPT))
            .build();
        Ok(Self {
            control: aws_sdk_s3::Client::from_conf(control),
            data: aws_sdk_s3::Client::from_conf(data),
            target: Arc::new(target.clone()),
            keys: Keys::new(&target.prefix),
            keyring: Arc::new(keyring),
        })
    }
}

/// One key a file. What begins with a dot is the kubelet's own (`..data`).
async fn key_files(dir: &str) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let (mut keys, mut entries) = (BTreeMap::new(), tokio::fs::read_dir(dir).await?);
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            keys.insert(name, tokio::fs::read(entry.path()).await?);
        }
    }
    Ok(keys)
}

fn keyring(target: &StorageTarget, access: &Access) -> Result<Keyring, StoreError> {
    let Some(wanted) = &target.manifest_keys else { return Ok(Keyring::default()) };
    Keyring::new(access.manifest_keys.clone(), &wanted.current, wanted.required)
        .map_err(|error| invalid(target, "manifestKeys", error.to_string()))
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(attempt).operation_attempt_timeout(attempt).build()
}

async fn builder(target: &StorageTarget, access: Access) -> Result<Builder, StoreError> {
    if target.bucket.is_empty() {
        return Err(invalid(target, "bucket", "it is empty: name the bucket".to_owned()));
    }
    let mut builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(target.region.clone()))
        .force_path_style(target.force_path_style)
        // The SDK's default (a CRC32 trailer) breaks stores that do not know it; what we want is asked for by request.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .http_client(http_client(target, access.ca_bundle.as_deref())?)
        .credentials_provider(credentials(target, access.credentials).await?);
    if let Some(endpoint) = &target.endpoint {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let what = format!("{endpoint:?} has no scheme: write https://host[:port]");
            return Err(invalid(target, "endpoint", what));
        }
        builder = builder.endpoint_url(endpoint);
    }
    Ok(builder)
}

async fn credentials(
    target: &StorageTarget,
    given: Option<Credentials>,
) -> Result<SharedCredentialsProvider, StoreError> {
    if let Some(credentials) = given {
        return Ok(SharedCredentialsProvider::new(credentials.into_sdk()));
    }
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(target.region.clone()))
        .load()
        .await
        .credentials_provider()
        .ok_or_else(|| invalid(target, "credentials", "there is no ambient provider: name a Secret".to_owned()))
}

fn http_client(target: &StorageTarget, ca_bundle: Option<&[u8]>) -> Result<SharedHttpClient, StoreError> {
    let http = aws_smithy_http_client::Builder::new();
    if target.endpoint.as_deref().is_some_and(|e| e.starts_with("http://")) {
        return Ok(http.build_http());
    }
    let mut trust = TrustStore::default();
    if let Some(pem) = ca_bundle {
        check_pem(pem).map_err(|what| invalid(target, "caBundle", what))?;
        trust.add_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| invalid(target, "caBundle", error.to_string()))?;
    Ok(http.tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// The SDK panics over a certificate that it cannot read, so that is found out before.
fn check_pem(pem: &[u8]) -> Result<(), String> {
    let way_out = "give PEM certificates (BEGIN CERTIFICATE)";
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("{error}: {way_out}"))?;
    if certificates.is_empty() {
        return Err(format!("it holds no certificate: {way_out}"));
    }
    let mut roots = rustls::RootCertStore::empty();
    certificates
        .into_iter()
        .try_for_each(|certificate| roots.add(certificate))
        .map_err(|error| format!("{error}: {way_out}"))
}

fn invalid(target: &StorageTarget, field: &'static str, what: String) -> StoreError {
    StoreError::Invalid { bucket: target.bucket.clone(), field, what }
}
