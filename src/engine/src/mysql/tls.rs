//! TLS options of the driver for MySQL and MariaDB, by the DatabaseServer's `tls.mode`.

use super::error::EngineError;
use crate::credentials::CredentialsError;
use mysql_async::{ClientIdentity, SslOpts};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sennight_core::engine::TlsMode;
use sennight_protocol::target::DatabaseTarget;
use std::path::Path;

/// The driver's TLS options, or `None` where TLS is off.
pub fn options(target: &DatabaseTarget) -> Result<Option<SslOpts>, EngineError> {
    let mode = target.tls.mode;
    if mode == TlsMode::Disable {
        return Ok(None);
    }
    let mut options = SslOpts::default();
    options = if mode == TlsMode::Require {
        // The roots that the driver brings along are not asked, but it wants some.
        options.with_danger_accept_invalid_certs(true)
    } else {
        options
            .with_disable_built_in_roots(true)
            .with_root_certs(roots(target)?.into_iter().map(Into::into).collect())
            .with_danger_skip_domain_validation(mode == TlsMode::VerifyCA)
    };
    if let Some(dir) = &target.tls.client_cert_dir {
        let file = |name: &str| read(&Path::new(dir).join(name));
        let identity = ClientIdentity::new(file("tls.crt")?.into(), file("tls.key")?.into());
        options = options.with_client_identity(Some(identity));
    }
    Ok(Some(options))
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source }.into())
}

/// The certificates to trust in DER, each by itself: one that is none does not keep the others from being used.
fn roots(target: &DatabaseTarget) -> Result<Vec<Vec<u8>>, EngineError> {
    let found: Vec<CertificateDer<'static>> = match &target.tls.ca_file {
        Some(file) => CertificateDer::pem_slice_iter(&read(Path::new(file))?).filter_map(Result::ok).collect(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    let usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let roots: Vec<Vec<u8>> = found.into_iter().filter(usable).map(|der| der.as_ref().to_vec()).collect();
    if roots.is_empty() {
        let why = match &target.tls.ca_file {
            Some(file) => format!("{file} holds no CA certificate"),
            None => "the system has no CA certificates and caSecretRef names none".to_owned(),
        };
        return Err(EngineError::TlsSetup { host: target.host.clone(), why });
    }
    Ok(roots)
}
