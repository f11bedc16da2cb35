//! Seeded data in the shape of a CRM tenant: words by a skewed choice out of a vocabulary, numbers, times, flags, NULLs.
//! The same seed makes the same bytes.

use crate::mariadb_server::MariaDb;
use crate::servers::Servers;
use std::io::Write;

const SEED: u64 = 0x5e77_1647;
const WORDS: usize = 6000;

/// splitmix64: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    /// The generator of one table.
    pub fn of(table: &str) -> Self {
        Self(table.bytes().fold(SEED, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The words that texts are made of.
pub struct Vocabulary(Vec<String>);

impl Vocabulary {
    /// Always the same.
    pub fn new() -> Self {
        let mut random = Random::of("vocabulary");
        let syllable = |random: &mut Random| {
            let (consonants, vowels) = (b"bcdfghjklmnprstvz", b"aeiou");
            #[allow(clippy::cast_possible_truncation)]
            let mut pick = |of: &[u8]| char::from(of[random.below(of.len() as u64) as usize]);
            [pick(consonants), pick(vowels)].iter().collect::<String>()
        };
        Self((0..WORDS).map(|n| (0..=n % 4).map(|_| syllable(&mut random)).collect()).collect())
    }

    /// Cube of a uniform number: a few words are frequent, most are rare, as in languages.
    #[allow(clippy::cast_possible_truncation)]
    fn word(&self, random: &mut Random) -> &str {
        let u = random.below(1 << 16);
        &self.0[(((u * u * u) >> 32) as usize * WORDS) >> 16]
    }

    fn text(&self, random: &mut Random, row: &mut Vec<u8>, from: u64, to: u64) {
        for n in 0..from + random.below(to - from + 1) {
            if n > 0 {
                row.push(b' ');
            }
            row.extend_from_slice(self.word(random).as_bytes());
        }
    }
}

/// Whose types, and whose row text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    PostgreSql,
    MariaDb,
}

/// A kind of column: its SQL type, and how a value is written.
#[derive(Clone, Copy)]
enum Kind {
    Id,
    Reference(u64),
    Number,
    Money,
    Flag,
    Stage,
    Time,
    Words(u64, u64),
    Phone,
    Settings,
    Bytes(u64),
    Rare,
}

impl Kind {
    fn sql(self, dialect: Dialect) -> &'static str {
        match self {
            Self::Id => "bigint PRIMARY KEY",
            Self::Reference(_) | Self::Number => "bigint",
            Self::Money => "numeric(18,2)",
            Self::Words(_, to) if to < 20 && dialect == Dialect::MariaDb => "varchar(255)",
            Self::Stage | Self::Phone | Self::Rare if dialect == Dialect::MariaDb => "varchar(50)",
            Self::Time if dialect == Dialect::MariaDb => "datetime",
            Self::Settings if dialect == Dialect::MariaDb => "json",
            Self::Bytes(_) if dialect == Dialect::MariaDb => "blob",
            Self::Flag => "boolean",
            Self::Stage | Self::Words(..) | Self::Phone | Self::Rare => "text",
            Self::Time => "timestamptz",
            Self::Settings => "jsonb",
            Self::Bytes(_) => "bytea",
        }
    }

    fn write(self, id: u64, words: &Vocabulary, random: &mut Random, dialect: Dialect, row: &mut Vec<u8>) {
        let postgres = dialect == Dialect::PostgreSql;
        let n = random.next();
        let written = match self {
            Self::Id => write!(row, "{id}"),
            Self::Reference(to) => write!(row, "{}", 1 + n % to),
            Self::Number => write!(row, "{}", n % 100_000),
            Self::Money => write!(row, "{}.{:02}", n % 50_000, (n >> 32) % 100),
            Self::Flag if !postgres => write!(row, "{}", u8::from(n.is_multiple_of(3))),
            Self::Flag => write!(row, "{}", if n.is_multiple_of(3) { 't' } else { 'f' }),
            Self::Stage => {
                let stages = ["NEW", "PREPARATION", "EXECUTING", "FINAL_INVOICE", "WON", "LOSE"];
                write!(row, "C{}:{}", n % 4, stages[usize::try_from((n >> 8) % 6).unwrap_or(0)])
            }
            Self::Time => {
                let day = 1 + n % 28;
                let (month, hour, minute, second) = (1 + id / 4000 % 12, n >> 8 & 15, (n >> 16) % 60, (n >> 24) % 60);
                let zone = if postgres { "+00" } else { "" };
                write!(row, "2026-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{zone}")
            }
            Self::Words(from, to) => {
                words.text(random, row, from, to);
                Ok(())
            }
            Self::Phone => write!(row, "+49{:010}", n % 10_000_000_000),
            Self::Settings => write!(
                row,
                r#"{{"channel": "email", "priority": {}, "thread": "{:012x}", "read": {}}}"#,
                n % 5,
                n >> 16,
                n.is_multiple_of(2)
            ),
            Self::Bytes(length) => {
                row.extend_from_slice(if postgres { br"\\x" } else { b"" });
                (0..length / 8).try_for_each(|_| write!(row, "{:016x}", random.next()))
            }
            Self::Rare if n.is_multiple_of(20) => write!(row, "utm_{}", n >> 8 & 255),
            Self::Rare => write!(row, r"\N"),
        };
        written.unwrap();
    }
}

/// A table: its name, its share of the database's bytes in thousandths, its columns.
pub struct Table {
    name: String,
    share: u64,
    columns: Vec<Kind>,
}

impl Table {
    fn new(name: impl Into<String>, share: u64, columns: &[Kind]) -> Self {
        Self { name: name.into(), share, columns: columns.to_vec() }
    }

    fn create(&self, dialect: Dialect) -> String {
        let columns = self.columns.iter().enumerate().map(|(n, kind)| format!("c{n} {}", kind.sql(dialect)));
        format!("CREATE TABLE {} ({});", self.name, columns.collect::<Vec<_>>().join(", "))
    }

    /// MariaDB's statement that takes the rows; bytes come as hexadecimal digits.
    fn load_data(&self) -> String {
        let numbered = || self.columns.iter().enumerate();
        let bytes = |kind: &Kind| matches!(kind, Kind::Bytes(_));
        let names = numbered().map(|(n, kind)| format!("{}c{n}", if bytes(kind) { "@" } else { "" }));
        let set = numbered().filter(|(_, kind)| bytes(kind)).map(|(n, _)| format!("c{n} = UNHEX(@c{n})"));
        let (names, set): (Vec<_>, Vec<_>) = (names.collect(), set.collect());
        let set = if set.is_empty() { String::new() } else { format!("SET {}", set.join(", ")) };
        format!("LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {} ({}) {set}", self.name, names.join(", "))
    }

    /// Writes rows until they are `bytes` long.
    fn rows(&self, bytes: u64, words: &Vocabulary, dialect: Dialect, out: &mut dyn Write) {
        let mut random = Random::of(&self.name);
        let (mut row, mut written, mut id) = (Vec::new(), 0, 0);
        while written < bytes {
            id += 1;
            row.clear();
            for (n, kind) in self.columns.iter().enumerate() {
                if n > 0 {
                    row.push(b'\t');
                }
                kind.write(id, words, &mut random, dialect, &mut row);
            }
            row.push(b'\n');
            written += row.len() as u64;
            out.write_all(&row).unwrap();
        }
    }
}

/// One big tenant: activities, comments, deals with many columns, contacts, narrow values, files, dictionaries.
pub fn wide() -> Vec<Table> {
    use Kind::{Bytes, Flag, Id, Money, Number, Phone, Rare, Reference, Settings, Stage, Time, Words};
    let mut deal = vec![Id, Words(3, 7), Stage, Money, Time, Time, Reference(200_000), Reference(400), Flag, Number];
    deal.extend([Rare; 20]);
    deal.extend([Words(1, 2), Number, Stage, Flag, Money, Time]);
    let mut tables = vec![
        Table::new(
            "crm_activity",
            500,
            &[Id, Reference(900_000), Stage, Words(4, 9), Words(20, 80), Time, Time, Reference(400), Flag, Settings],
        ),
        Table::new("crm_timeline", 150, &[Id, Number, Reference(900_000), Time, Reference(400), Words(8, 30)]),
        Table::new("crm_deal", 110, &deal),
        Table::new(
            "crm_contact",
            100,
            &[Id, Words(1, 1), Words(1, 2), Phone, Words(1, 1), Words(3, 6), Stage, Time, Reference(400), Rare, Rare],
        ),
        Table::new("crm_field_multi", 70, &[Id, Stage, Reference(900_000), Words(1, 1), Phone]),
        Table::new("file_preview", 25, &[Id, Words(1, 2), Bytes(2048)]),
    ];
    tables
        .extend((1..=45).map(|n| Table::new(format!("dictionary_{n:02}"), 1, &[Id, Words(1, 4), Flag, Number, Rare])));
    tables
}

/// A small tenant of so many tables, some of them ten times the others.
pub fn small(count: u64) -> Vec<Table> {
    use Kind::{Flag, Id, Money, Phone, Rare, Reference, Settings, Stage, Time, Words};
    let per_mille = |n: u64| if n.is_multiple_of(10) { 10 } else { 1 };
    let total: u64 = (0..count).map(per_mille).sum();
    let table = |n: u64| {
        let columns: &[Kind] = match n % 3 {
            0 => &[Id, Reference(5000), Stage, Words(3, 12), Time, Flag, Settings],
            1 => &[Id, Words(1, 3), Phone, Words(2, 4), Money, Time, Rare],
            _ => &[Id, Reference(5000), Stage, Money],
        };
        Table::new(format!("b_crm_table_{n:04}"), per_mille(n) * 1_000_000 / total, columns)
    };
    (0..count).map(table).collect()
}

/// Makes `database` and fills it with about `bytes` of row text. One that is there (the servers of an earlier run were kept)
/// is used as it is.
pub fn load(servers: &Servers, database: &str, tables: &[Table], bytes: u64) {
    if servers.sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'")) == "1" {
        return;
    }
    let words = Vocabulary::new();
    let whole: u64 = tables.iter().map(|t| t.share).sum();
    servers.sql("postgres", &format!("CREATE DATABASE {database}"));
    let schema: Vec<String> = tables.iter().map(|t| t.create(Dialect::PostgreSql)).collect();
    servers.feed(database, &["-f", "-"], |out| out.write_all(schema.join("\n").as_bytes()).unwrap());
    if tables.len() < 100 {
        for table in tables {
            let backup = format!("COPY {} FROM STDIN", table.name);
            servers.feed(database, &["-c", &backup], |out| {
                table.rows(bytes * table.share / whole, &words, Dialect::PostgreSql, out);
            });
        }
    } else {
        servers.feed(database, &["-f", "-"], |out| {
            for table in tables {
                writeln!(out, "COPY {} FROM STDIN;", table.name).unwrap();
                table.rows(bytes * table.share / whole, &words, Dialect::PostgreSql, out);
                writeln!(out, "\\.").unwrap();
            }
        });
    }
    servers.sql(database, "VACUUM (FREEZE, ANALYZE)");
    servers.sql(database, "CHECKPOINT");
}

/// The same on MariaDB. What is loaded is not in the binary log.
pub fn load_mariadb(server: &MariaDb<'_>, database: &str, tables: &[Table], bytes: u64) {
    let there = format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'");
    if server.sql("", &there) == "1" {
        return;
    }
    let words = Vocabulary::new();
    let whole: u64 = tables.iter().map(|t| t.share).sum();
    server.sql("", &format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"));
    for table in tables {
        server.sql(database, &table.create(Dialect::MariaDb));
        let statement = format!("SET sql_log_bin = 0; {}", table.load_data());
        server.feed(database, &statement, |out| {
            table.rows(bytes * table.share / whole, &words, Dialect::MariaDb, out);
        });
    }
}

/// The names of the tables.
pub fn names(tables: &[Table]) -> Vec<&str> {
    tables.iter().map(|t| t.name.as_str()).collect()
}
