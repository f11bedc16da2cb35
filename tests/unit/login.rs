//! A server that wants to see a login of a kind that nobody knows: no task panics over it, and the error names the plugin. The
//! server is a few bytes on loopback, so that every name can be tried without the plugin.

use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_engine::mysql::{EngineError, connect};
use sennight_protocol::target::{DatabaseTarget, TlsTarget};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, PLUGIN_AUTH_LENENC_CLIENT_DATA, CONNECT_WITH_DB, LONG_PASSWORD.
const CAPABILITIES: u32 = 0x0028_8209;

fn greeting(plugin: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    let mut packet = b"\x0a9.7.4\0\x07\0\0\0".to_vec();
    packet.extend([b'x'; 8]);
    packet.extend([0, a, b, 45, 2, 0, c, d, 21]);
    packet.extend([0; 10]);
    packet.extend([b'y'; 12]);
    packet.push(0);
    packet.extend(plugin);
    packet.push(0);
    packet
}

fn switch(plugin: &[u8], nonce: &[u8]) -> Vec<u8> {
    [b"\xfe", plugin, b"\0", nonce].concat()
}

async fn send(stream: &mut TcpStream, number: u8, packet: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
    stream.write_all(&[length[0], length[1], length[2], number]).await?;
    stream.write_all(packet).await
}

/// The number of the client's packet.
async fn receive(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut packet = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut packet).await?;
    Ok(head[3])
}

/// What a login comes to at a server that sends these packets, each after an answer of the client.
async fn login(password: &str, packets: Vec<Vec<u8>>) -> EngineError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut number = 0;
        for packet in packets {
            send(&mut stream, number, &packet).await?;
            number = receive(&mut stream).await?.wrapping_add(1);
        }
        stream.shutdown().await
    });
    let credentials = tempfile::tempdir().unwrap();
    for (name, value) in [("host", "127.0.0.1"), ("username", "u"), ("password", password)] {
        std::fs::write(credentials.path().join(name), value).unwrap();
    }
    let target = DatabaseTarget {
        engine: EngineKind::MySQL,
        host: "127.0.0.1".to_owned(),
        port,
        database: "d".to_owned(),
        maintenance_database: String::new(),
        tls: TlsTarget { mode: TlsMode::Disable, ca_file: None, client_cert_dir: None },
        credentials_dir: credentials.path().to_str().unwrap().to_owned(),
    };
    let opened = tokio::time::timeout(Duration::from_secs(10), connect(&target, "d", "test")).await;
    let error = opened.expect("no login waits for ever").map(|_| ()).unwrap_err();
    server.abort();
    error
}

const NONCE: &[u8] = b"abcdefghijklmnopqrst\0";

#[tokio::test]
async fn every_plugin_that_nobody_knows_is_named() {
    let long = "n".repeat(300);
    let names = [
        "sha256_password",
        "dialog",
        "auth_gssapi_client",
        "mysql_clear_password",
        "mysql_old_password",
        "authentication_ldap_sasl_client",
        "authentication_kerberos_client",
        "authentication_webauthn_client",
        "authentication_openid_connect_client",
        "authentication_oci_client",
        "client_of_tomorrow",
        &long,
    ];
    for name in names {
        for greeted in [name, "mysql_native_password", "caching_sha2_password", ""] {
            let error = login("secret", vec![greeting(greeted.as_bytes()), switch(name.as_bytes(), NONCE)]).await;
            let message = error.to_string();
            assert_eq!(error.reason(), "PluginUnsupported", "{greeted}, then {name}: {message}");
            assert!(
                message.contains(&name[..name.len().min(64)]) && message.contains("caching_sha2_password"),
                "{message}"
            );
            assert!(!message.contains("network policies") && !error.retryable(), "{message}");
        }
    }
    let error = login("secret", vec![greeting(b"x"), switch(b"a\n\x1b[31mb", NONCE)]).await.to_string();
    assert!(error.contains("logs in by a[31mb, which") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_second_plugin_after_the_first_is_named() {
    for (first, second) in [
        ("client_ed25519", "mysql_native_password"),
        ("mysql_native_password", "dialog"),
        ("caching_sha2_password", "sha256_password"),
    ] {
        let packets =
            vec![greeting(b"mysql_native_password"), switch(first.as_bytes(), NONCE), switch(second.as_bytes(), NONCE)];
        let error = login("secret", packets).await;
        assert_eq!(error.reason(), "PluginUnsupported", "{first}, {second}: {error}");
        assert!(error.to_string().contains(second) && error.to_string().contains("more than one plugin"), "{error}");
    }
    let factor = [b"\x02".as_slice(), b"authentication_webauthn_client\0", NONCE].concat();
    let error = login("secret", vec![greeting(b"caching_sha2_password"), factor]).await;
    assert!(error.to_string().contains("authentication_webauthn_client"), "a second factor: {error}");
}

/// The driver panics over some of these.
#[tokio::test]
async fn no_answer_of_a_server_is_a_panic() {
    let native = || greeting(b"mysql_native_password");
    let sha2 = || greeting(b"caching_sha2_password");
    let cases: Vec<(&str, &str, Vec<Vec<u8>>)> = vec![
        ("an empty greeting", "secret", vec![vec![]]),
        ("half a greeting", "secret", vec![native()[..12].to_vec()]),
        ("no key for the password", "secret", vec![sha2(), b"\x01\x04".to_vec(), vec![]]),
        ("a key that is none", "secret", vec![sha2(), b"\x01\x04".to_vec(), b"\x01no key".to_vec()]),
        (
            "no nonce",
            "secret",
            vec![native(), switch(b"caching_sha2_password", b""), b"\x01\x04".to_vec(), b"\x01key".to_vec()],
        ),
        (
            "parsec with half a nonce",
            "secret",
            vec![native(), switch(b"parsec", b"abc"), b"\x01P\0abcdefghijklmnopqr".to_vec()],
        ),
        (
            "parsec without a password",
            "",
            vec![native(), switch(b"parsec", &[7; 32]), b"\x01P\0abcdefghijklmnopqr".to_vec()],
        ),
        ("parsec with another salt", "secret", vec![native(), switch(b"parsec", &[7; 32]), b"\x01Q\x09abc".to_vec()]),
        ("old passwords", "secret", vec![native(), vec![0xfe]]),
        ("a switch to nothing", "secret", vec![native(), switch(b"", b"")]),
        ("an empty answer", "secret", vec![native(), vec![]]),
        ("nothing that anybody knows", "secret", vec![native(), b"\x77\x77".to_vec()]),
    ];
    let mut broken = 0;
    for (words, password, packets) in cases {
        let error = login(password, packets).await;
        let known = ["LoginBroken", "PluginUnsupported", "Unreachable", "ConnectionLost", "CredentialsUnreadable"];
        assert!(known.contains(&error.reason()), "{words}: {error}");
        broken += usize::from(error.reason() == "LoginBroken");
    }
    assert!(broken > 0, "the driver panics no more: catch_unwind in connect.rs is not needed any more");
}
