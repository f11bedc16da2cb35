//! A store whose certificate a private CA signed.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sennight_protocol::target::StorageTarget;
use sennight_storage::{Access, Listed, Store, StoreError};
use std::sync::Arc;
use testkit::env;
use testkit::store::{Bucket, credentials, target};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A CA's certificate in PEM, and a certificate for `localhost` that it signed.
fn pki() -> (String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    (pem, leaf.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}

/// TLS in front of the S3 server; gives the port.
async fn terminate(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.ok()?;
                let upstream = env("SENNIGHT_TEST_S3_ENDPOINT");
                let mut server = TcpStream::connect(upstream.strip_prefix("http://").unwrap()).await.ok()?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
            });
        }
    });
    port
}

async fn list(bucket: &Bucket, endpoint: String, ca_bundle: Option<&str>) -> Result<Vec<Listed>, StoreError> {
    let target = StorageTarget { endpoint: Some(endpoint), ..target(&bucket.name) };
    let access = Access {
        credentials: Some(credentials()),
        ca_bundle: ca_bundle.map(|pem| pem.as_bytes().to_vec()),
        ..Access::default()
    };
    let store = Store::with_access(&target, access).await.unwrap();
    store.list("p/").await
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_named_and_only_for_its_hosts() {
    let bucket = Bucket::new().await;
    let (ca, certificate, key) = pki();
    let (stranger, ..) = pki();
    let port = terminate(certificate, key).await;
    list(&bucket, format!("https://localhost:{port}"), Some(&ca)).await.unwrap();
    list(&bucket, format!("https://localhost:{port}"), Some(&format!("{stranger}{ca}"))).await.unwrap();
    for (host, bundle) in
        [("localhost", None), ("localhost", Some(stranger.as_str())), ("127.0.0.1", Some(ca.as_str()))]
    {
        let error = list(&bucket, format!("https://{host}:{port}"), bundle).await.unwrap_err();
        assert_eq!(error.reason(), "Unreachable", "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
