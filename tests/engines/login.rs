//! Accounts of every authentication plugin that the servers of this run have: they log in, or the error names the plugin.

use sennight_core::engine::EngineKind;
use sennight_core::engine::TlsMode;
use sennight_engine::mysql::{connect, ident};
use testkit::mysql::{Database, Server, say};
use testkit::{Bucket, unique};

/// Plugin, library, what stands behind CREATE USER, and whether it logs in.
type Account = (&'static str, &'static str, &'static str, bool);

const MARIADB: &[Account] = &[
    ("mysql_native_password", "", "IDENTIFIED VIA mysql_native_password USING PASSWORD('secret')", true),
    ("ed25519", "auth_ed25519", "IDENTIFIED VIA ed25519 USING PASSWORD('secret')", true),
    ("parsec", "auth_parsec", "IDENTIFIED VIA parsec USING PASSWORD('secret')", true),
    // The server's plugin and the client's have different names.
    ("pam", "auth_pam", "IDENTIFIED VIA pam USING 'mariadb'", false),
    ("gssapi", "auth_gssapi", "IDENTIFIED VIA gssapi", false),
];
const MYSQL: &[Account] = &[
    ("caching_sha2_password", "", "IDENTIFIED WITH caching_sha2_password BY 'secret'", true),
    ("sha256_password", "", "IDENTIFIED WITH sha256_password BY 'secret'", false),
];

fn has(server: &Server, plugin: &str, library: &str) -> bool {
    if !library.is_empty() {
        let install = format!("INSTALL SONAME '{library}'");
        let _ = server.client("").arg("--execute").arg(install).stderr(std::process::Stdio::null()).status();
    }
    let query = format!(
        "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = '{plugin}' AND PLUGIN_STATUS = 'ACTIVE'"
    );
    let output = server.client("").args(["--skip-column-names", "--execute"]).arg(query).output().unwrap();
    output.stdout.starts_with(b"1")
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_every_plugin_log_in_or_the_error_names_it() {
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let mysql = server.engine == EngineKind::MySQL;
        let database = Database::create(&server);
        database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
        let routines = if mysql { "SHOW_ROUTINE ON *.*" } else { "SELECT ON mysql.proc" };
        let (mut tried, mut absent) = (Vec::new(), Vec::new());
        for (plugin, library, by, logs_in) in if mysql { MYSQL } else { MARIADB } {
            if !has(&server, plugin, library) {
                absent.push(*plugin);
                continue;
            }
            let user = unique("u");
            let account = format!("'{user}'@'127.0.0.1'");
            let on = ident(&database.name());
            database.run(&format!(
                "CREATE USER {account} {by}; GRANT {routines} TO {account};
                 GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {on}.* TO {account}"
            ));
            let seen = database.seen_by(&user, "secret");
            let dumped = seen.dump(&store).await;
            match (&dumped, logs_in) {
                (Ok(_), true) => {}
                // Without a configuration PAM says no before it asks anything.
                (Err(error), false) if *plugin == "pam" && error.reason == "LoginRefused" => {}
                (Err(error), false) => {
                    let named = error.reason == "PluginUnsupported" && !error.message.contains("network policies");
                    assert!(named, "{}: {plugin}: {error:?}", server.name);
                }
                (other, _) => panic!("{}: {plugin}: {other:?}", server.name),
            }
            let wrong = database.seen_by(&user, "wrong");
            let refused = wrong.dump(&store).await.map(|_| ()).unwrap_err();
            assert!(["LoginRefused", "PluginUnsupported"].contains(&refused.reason.as_str()), "{refused:?}");
            // Without TLS the password goes by the server's key, or not at all.
            let mut open = seen.target.clone();
            open.tls.mode = TlsMode::Disable;
            let opened = connect(&open, &database.name(), "test").await.map(|_| ());
            assert_eq!(opened.is_ok(), *logs_in, "{}: {plugin} without TLS: {opened:?}", server.name);
            database.run(&format!("DROP USER {account}"));
            tried.push(*plugin);
        }
        say(&format!("{}: accounts of {tried:?}; plugins that this server does not have: {absent:?}", server.name));
    }
}

/// MariaDB asks for the second plugin when the password was not the first one's, which the driver does not follow.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_two_plugins_logs_in_by_the_first_and_the_second_is_named() {
    for server in Server::all().into_iter().filter(|server| server.engine == EngineKind::MariaDB) {
        if !has(&server, "ed25519", "auth_ed25519") {
            continue;
        }
        let database = Database::create(&server);
        let user = unique("u");
        database.run(&format!(
            "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('one') OR mysql_native_password USING PASSWORD('two');
             GRANT SELECT ON {}.* TO '{user}'@'127.0.0.1'",
            ident(&database.name())
        ));
        let outcome = async |password: &str| {
            let seen = database.seen_by(&user, password);
            connect(&seen.target, &seen.name(), "test").await.map_or_else(|e| e.to_string(), |_| String::new())
        };
        assert_eq!(outcome("one").await, "", "{}", server.name);
        let second = outcome("two").await;
        assert!(second.contains("mysql_native_password") && second.contains("more than one plugin"), "{second}");
        database.run(&format!("DROP USER '{user}'@'127.0.0.1'"));
    }
}
