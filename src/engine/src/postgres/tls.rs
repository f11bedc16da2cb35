//! TLS configuration for PostgreSQL, by the DatabaseServer's `tls.mode`.

use super::error::EngineError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sennight_core::engine::TlsMode;
use sennight_protocol::target::DatabaseTarget;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The client side's TLS configuration, or `None` where TLS is off.
pub fn client_config(target: &DatabaseTarget) -> Result<Option<ClientConfig>, EngineError> {
    let setup = |why: String| EngineError::TlsSetup { host: target.host.clone(), why };
    if target.tls.mode == TlsMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(target, provider)?);
    let config = match &target.tls.client_cert_dir {
        None => builder.with_no_client_auth(),
        Some(dir) => {
            let (certificate, key) = client_certificate_files(dir);
            let chain = certificates(&certificate)?;
            let key = PrivateKeyDer::from_pem_file(&key)
                .map_err(|e| setup(format!("{} is no PEM key: {e}", key.display())))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| setup(format!("the client certificate in {dir} is not usable: {e}")))?
        }
    };
    Ok(Some(config))
}

/// The files of a client certificate as a `kubernetes.io/tls` Secret mounts them.
pub fn client_certificate_files(dir: &str) -> (PathBuf, PathBuf) {
    (Path::new(dir).join("tls.crt"), Path::new(dir).join("tls.key"))
}

fn verifier(
    target: &DatabaseTarget,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, EngineError> {
    if target.tls.mode == TlsMode::Require {
        return Ok(Arc::new(PartialVerifier { provider, chain: None }));
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(target)?), provider.clone())
        .build()
        .map_err(|e| EngineError::TlsSetup { host: target.host.clone(), why: e.to_string() })?;
    Ok(match target.tls.mode {
        TlsMode::VerifyCA => Arc::new(PartialVerifier { provider, chain: Some(chain) }),
        _ => chain,
    })
}

fn roots(target: &DatabaseTarget) -> Result<RootCertStore, EngineError> {
    let mut roots = RootCertStore::empty();
    let found = match &target.tls.ca_file {
        Some(file) => certificates(Path::new(file))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(EngineError::TlsSetup {
            host: target.host.clone(),
            why: match &target.tls.ca_file {
                Some(file) => format!("{file} holds no CA certificate"),
                None => "the system has no CA certificates and caSecretRef names none".to_owned(),
            },
        });
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let unreadable = |source: std::io::Error| EngineError::CredentialsUnreadable { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(unreadable)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string())))
}

/// `Require` checks nothing but the handshake's signatures (`chain` is `None`), `VerifyCA` the chain but not the name.
#[derive(Debug)]
struct PartialVerifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for PartialVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The chain is checked before the name, so that a wrong name is the only thing left to forgive.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
