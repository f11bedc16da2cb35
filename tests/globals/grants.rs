//! The property: an account that makes a backup sees all that there is, by whatever way it was given its rights. A server of
//! this family hides what an account has no right to, without a word.

use crate::ALONE;
use crate::picture::{Picture, backed_up, filled};
use sennight_core::engine::EngineKind;
use sennight_engine::mysql::preflight::gather_server_facts;
use sennight_engine::mysql::{Flavour, connect, ident};
use sennight_storage::Store;
use sennight_worker::TaskError;
use testkit::mysql::{Database, Server, say};
use testkit::{Bucket, sampling, unique};

const PRIVILEGES: [&str; 5] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "LOCK TABLES"];

/// A generator that a seed repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn some(&mut self) -> String {
        // All of them often: else nearly nothing is ever enough.
        if self.below(3) == 0 {
            return PRIVILEGES.join(", ");
        }
        let some: Vec<&str> = PRIVILEGES.into_iter().filter(|_| self.below(3) > 0).collect();
        if some.is_empty() { "SELECT".to_owned() } else { some.join(", ") }
    }
}

struct GrantedDatabase<'a> {
    server: &'a Server,
    store: &'a Store,
    database: Database,
    undisturbed: Picture,
}

impl<'a> GrantedDatabase<'a> {
    async fn new(server: &'a Server, store: &'a Store) -> Self {
        let database = filled(server);
        let undisturbed = backed_up(&database.dump_task(), store).await.unwrap().2;
        Self { server, store, database, undisturbed }
    }

    fn mysql(&self) -> bool {
        self.server.engine == EngineKind::MySQL
    }

    /// The ways to name the database in a grant.
    fn patterns(&self) -> Vec<String> {
        let name = self.database.name();
        let (head, tail) = (&name[..name.len() - 3], &name[2..]);
        vec![
            name.replace('_', "\\_"),
            name.clone(),
            format!("{}%", head.replace('_', "\\_")),
            format!("{head}%"),
            format!("%{tail}"),
            "t%".to_owned(),
            name.replace('t', "_"),
            name.to_uppercase(),
        ]
    }

    fn run(&self, statements: &[String]) {
        self.server.script("", statements.join(";\n").as_bytes());
    }

    /// What an account says that has been given these rights: `USER` is its name in them.
    async fn seen_after(&self, statements: &[String]) -> Result<Picture, TaskError> {
        let user = unique("u");
        let account = format!("'{user}'@'127.0.0.1'");
        let mut all = vec![format!("CREATE USER {account} IDENTIFIED BY 'secret'")];
        // Not every `DB`: the random name of the database may hold these letters, where a pattern has it in capitals.
        let database = format!("ON {}.", ident(&self.database.name()));
        all.extend(statements.iter().map(|s| s.replace("USER", &account).replace("ON DB.", &database)));
        self.run(&all);
        let seen = self.database.seen_by(&user, "secret");
        let picture = backed_up(&seen.dump_task(), self.store).await.map(|(.., picture)| picture);
        self.run(&[format!("DROP USER {account}"), "DROP ROLE IF EXISTS sennight_r".to_owned()]);
        picture
    }

    /// Rights to see routines, of the kinds that there are.
    fn routines(&self, dice: &mut Dice) -> Vec<String> {
        let ways: &[&str] = match (self.mysql(), self.server.name.as_str()) {
            (true, _) => {
                &["SHOW_ROUTINE ON *.*", "SHOW_ROUTINE ON *.*", "EXECUTE, ALTER ROUTINE ON DB.*", "SELECT ON mysql.*"]
            }
            (_, "mariadb-11.8") => &[
                "SELECT ON mysql.proc",
                "SELECT ON mysql.*",
                "SHOW CREATE ROUTINE ON DB.*",
                "SHOW CREATE ROUTINE ON *.*",
                "EXECUTE ON DB.*",
            ],
            _ => &[
                "SELECT ON mysql.proc",
                "SELECT ON mysql.proc",
                "SELECT ON mysql.*",
                "EXECUTE ON DB.*",
                "SELECT (name) ON mysql.proc",
            ],
        };
        vec![format!("GRANT {} TO USER", ways[dice.below(ways.len())])]
    }

    fn thrown(&self, dice: &mut Dice, partial: bool) -> Vec<String> {
        let patterns = self.patterns();
        let mut statements = self.routines(dice);
        let mut global = false;
        for _ in 0..=dice.below(3) {
            let some = dice.some();
            statements.push(match dice.below(8) {
                0 | 1 => {
                    global = true;
                    format!("GRANT {some} ON *.* TO USER")
                }
                2 => format!(
                    "GRANT {} ON DB.a TO USER",
                    some.replace("EVENT", "INSERT").replace("LOCK TABLES", "INSERT")
                ),
                3 => {
                    let grant =
                        format!("GRANT {some} ON {} TO sennight_r", if dice.below(2) == 0 { "*.*" } else { "DB.*" });
                    let active = if self.mysql() {
                        "SET DEFAULT ROLE sennight_r TO USER"
                    } else {
                        "SET DEFAULT ROLE sennight_r FOR USER"
                    };
                    let mut role = vec![
                        "CREATE ROLE IF NOT EXISTS sennight_r".to_owned(),
                        grant,
                        "GRANT sennight_r TO USER".to_owned(),
                    ];
                    role.extend((dice.below(3) > 0).then(|| active.to_owned()));
                    role.join(";\n")
                }
                _ => format!("GRANT {some} ON `{}`.* TO USER", patterns[dice.below(patterns.len())]),
            });
        }
        if partial && global && dice.below(3) > 0 {
            let from = if dice.below(4) == 0 { "`mysql`" } else { "DB" };
            statements.push(format!("REVOKE IF EXISTS {} ON {from}.* FROM USER", dice.some()));
        }
        statements
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_account_sees_all_that_there_is_or_makes_no_backup() {
    let _alone = ALONE.lock().await;
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    let cases = sampling::costly("make engines", "grants", 400, 3);
    let mut dice = Dice(sampling::seed("grants"));
    for server in Server::all() {
        let world = GrantedDatabase::new(&server, &store).await;
        let (mut made, mut refused) = (0, 0);
        for case in 0..cases {
            let partial = world.mysql() && case % 2 == 0;
            if world.mysql() {
                world.run(&[format!("SET GLOBAL partial_revokes = {}", i32::from(partial))]);
            }
            let statements = world.thrown(&mut dice, partial);
            match world.seen_after(&statements).await {
                Ok(picture) => {
                    made += 1;
                    let difference = world.undisturbed.difference(&picture);
                    assert!(difference.is_none(), "{}: {statements:#?}: {difference:?}", server.name);
                }
                // An account that has no right at all on the database cannot even open it.
                Err(error) => {
                    refused += 1;
                    let known = ["PermissionDenied", "Unreachable", "LoginRefused"].contains(&error.reason.as_str());
                    assert!(known, "{}: {statements:#?}: {error:?}", server.name);
                }
            }
        }
        if world.mysql() {
            world.run(&["SET GLOBAL partial_revokes = 0".to_owned()]);
        }
        say(&format!("{}: {cases} ways to grant rights: {made} backups, all whole; {refused} refused", server.name));
        assert!(made * 20 >= cases, "{}: nearly nothing was enough", server.name);
    }
}

/// Statements, and whether a backup is made after them.
type Case = (&'static str, &'static [&'static str], bool);

const ALL: &str = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES";
const CASES: &[Case] = &[
    (
        "a pattern gives what the exact grant lacks, and the server looks at one of them",
        &["GRANT SELECT, SHOW VIEW ON `EXACT`.* TO USER", "GRANT TRIGGER, EVENT ON `t%`.* TO USER"],
        false,
    ),
    (
        "the exact grant has all, a pattern has less",
        &["GRANT ALL_OF_IT ON `EXACT`.* TO USER", "GRANT SELECT ON `t%`.* TO USER"],
        true,
    ),
    ("a pattern has all", &["GRANT ALL_OF_IT ON `t%`.* TO USER"], true),
    (
        "two patterns have half each",
        &["GRANT SELECT, SHOW VIEW ON `t%`.* TO USER", "GRANT TRIGGER, EVENT ON `%`.* TO USER"],
        false,
    ),
    ("everything", &["GRANT ALL_OF_IT ON *.* TO USER"], true),
    ("all privileges of the database", &["GRANT ALL ON DB.* TO USER"], true),
    (
        "half on everything, half on the database",
        &["GRANT SELECT, EVENT ON *.* TO USER", "GRANT SHOW VIEW, TRIGGER ON DB.* TO USER"],
        true,
    ),
    (
        "half on a role that nobody has put on",
        &[
            "GRANT SELECT, SHOW VIEW, EVENT ON DB.* TO USER",
            "CREATE ROLE sennight_r",
            "GRANT TRIGGER ON DB.* TO sennight_r",
            "GRANT sennight_r TO USER",
        ],
        false,
    ),
];
const PARTIAL: &[Case] = &[
    (
        "partial revokes hide triggers and events",
        &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE TRIGGER, EVENT ON DB.* FROM USER"],
        false,
    ),
    ("… the rows", &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE SELECT ON DB.* FROM USER"], false),
    ("… views", &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE SHOW VIEW ON DB.* FROM USER"], false),
    (
        "… and a grant gives it back",
        &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE TRIGGER ON DB.* FROM USER", "GRANT TRIGGER ON DB.* TO USER"],
        true,
    ),
    (
        "another database's restrictions are none of this one's",
        &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE TRIGGER ON mysql.* FROM USER"],
        true,
    ),
    (
        "LOCK TABLES is not needed for a small database",
        &["GRANT ALL_OF_IT ON *.* TO USER", "REVOKE LOCK TABLES ON DB.* FROM USER"],
        true,
    ),
    ("patterns are none while partial revokes are on", &["GRANT ALL_OF_IT ON `t%`.* TO USER"], false),
];

#[tokio::test(flavor = "multi_thread")]
async fn i4_rights_that_another_grant_hides_or_a_restriction_takes_are_none() {
    let _alone = ALONE.lock().await;
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all() {
        let world = GrantedDatabase::new(&server, &store).await;
        let flavour = if world.mysql() { Flavour::MySQL } else { Flavour::MariaDB };
        let routines =
            if world.mysql() { "GRANT SHOW_ROUTINE ON *.* TO USER" } else { "GRANT SELECT ON mysql.proc TO USER" };
        let parts: &[(&str, &[Case])] =
            if flavour == Flavour::MySQL { &[("0", CASES), ("1", PARTIAL)] } else { &[("", CASES)] };
        let mut wrong = Vec::new();
        for (partial, cases) in parts {
            if !partial.is_empty() {
                world.run(&[format!("SET GLOBAL partial_revokes = {partial}")]);
            }
            for (words, statements, wanted) in *cases {
                let exact = world.database.name().replace('_', "\\_");
                let statements = statements.iter().map(|s| s.replace("ALL_OF_IT", ALL).replace("EXACT", &exact));
                let statements: Vec<String> = std::iter::once(routines.to_owned()).chain(statements).collect();
                match (world.seen_after(&statements).await, wanted) {
                    (Ok(picture), true) => {
                        wrong.extend(world.undisturbed.difference(&picture).map(|d| format!("{words}: {d}")));
                    }
                    (Ok(picture), false) => {
                        wrong.push(format!("{words}: a backup was made: {:?}", world.undisturbed.difference(&picture)));
                    }
                    (Err(error), false) if ["PermissionDenied", "LoginRefused"].contains(&error.reason.as_str()) => {}
                    (Err(error), _) => wrong.push(format!("{words}: {error:?}")),
                }
            }
        }
        if world.mysql() {
            world.run(&["SET GLOBAL partial_revokes = 0".to_owned()]);
        }
        assert!(wrong.is_empty(), "{}:\n{}", server.name, wrong.join("\n"));
    }
}

/// The account that restores has its rights on everything: what is revoked on the live database would be hidden from the swap.
#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_names_what_a_partial_revoke_takes_from_the_live_database() {
    let _alone = ALONE.lock().await;
    let bucket = Bucket::create().await;
    let store = bucket.store().await;
    for server in Server::all().into_iter().filter(|server| server.engine == EngineKind::MySQL) {
        let world = GrantedDatabase::new(&server, &store).await;
        let (user, name) = (unique("u"), world.database.name());
        let account = format!("'{user}'@'127.0.0.1'");
        world.run(&[
            "SET GLOBAL partial_revokes = 1".to_owned(),
            format!("CREATE USER {account} IDENTIFIED BY 'secret'"),
            format!("GRANT ALL ON *.* TO {account}"),
            format!("REVOKE TRIGGER, EVENT ON {}.* FROM {account}", ident(&name)),
        ]);
        let seen = world.database.seen_by(&user, "secret");
        let mut session = connect(&seen.target, "", "test").await.unwrap();
        let found = gather_server_facts(&mut session, &name).await.unwrap().rights_missing;
        world.run(&[format!("DROP USER {account}"), "SET GLOBAL partial_revokes = 0".to_owned()]);
        let wanted = ["TRIGGER on this database (revoked there)", "EVENT on this database (revoked there)"];
        assert_eq!(found, wanted, "{}", server.name);
    }
}
