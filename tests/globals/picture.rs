//! A database with what settings might change, and what a backup says of it.

use sennight_core::engine::EngineKind;
use sennight_core::manifest::Manifest;
use sennight_core::result::BackupSummary;
use sennight_protocol::backup::DumpTask;
use sennight_storage::Store;
use sennight_worker::TaskError;
use std::collections::BTreeMap;
use testkit::mysql::{Database, Server};
use testkit::{context, copied, dump_with, manifest, sorted_lines};

/// More rows than any limit of a hostile value; types whose text depends on settings; every kind of object.
const BOTH: &str = "
CREATE TABLE d (n int PRIMARY KEY);
INSERT INTO d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, ts timestamp NOT NULL DEFAULT '2001-02-03 04:05:06', at datetime(6), c char(9),
  price decimal(20,8), f float, x double, b varbinary(70000), k text CHARACTER SET cp1251, j json, y year, t time(3), e enum('x','y'), s set('p','q'),
  bits bit(9), twice double AS (x * 2) STORED, CHECK (price < 100000));
INSERT INTO a (id, at, c, price, f, x, b, k, j, y, t, e, s, bits)
  SELECT a.n * 20 + b.n * 2, '0000-00-00 00:00:00', 'trail ', a.n / 7 + b.n, 1.1 + a.n, 1 / (1 + b.n), REPEAT(x'00ff', 20), 'привет', '{\"a\": [1, 2]}',
    2001, '-11:22:33.456', 'y', 'p,q', b'101' FROM d a, d b;
INSERT INTO a (id, ts, at, k) VALUES (1001, '2038-01-19 03:14:07', '2024-02-30 00:00:00', REPEAT('я', 30000)), (1003, '2024-10-27 00:30:00', NULL, NULL);
CREATE TABLE p (id int PRIMARY KEY, v varchar(20)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (50), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO p SELECT a.n * 10 + b.n, 'v' FROM d a, d b;
CREATE TABLE c (id int PRIMARY KEY, a_id int, KEY (a_id), CONSTRAINT fk FOREIGN KEY (a_id) REFERENCES a (id));
INSERT INTO c VALUES (1, 2), (2, 4);
CREATE TABLE words (id int PRIMARY KEY, body text, FULLTEXT KEY (body));
INSERT INTO words VALUES (1, 'und the rest'), (2, 'a b');
CREATE VIEW v AS SELECT id, CONCAT(c, 'x') AS name FROM a WHERE id > 1;
CREATE VIEW w AS SELECT COUNT(*) AS n FROM v;
CREATE TRIGGER before_it BEFORE INSERT ON c FOR EACH ROW SET NEW.a_id = NEW.a_id;
CREATE TRIGGER after_it AFTER DELETE ON c FOR EACH ROW SET @deleted = OLD.id;
CREATE EVENT one ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SET @x = 1;
CREATE EVENT two ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DISABLE DO SET @x = 2;
CREATE FUNCTION f (x varchar(10)) RETURNS varchar(20) DETERMINISTIC RETURN CONCAT(x, \"quoted\\n\", '\\\\');
CREATE PROCEDURE pr () BEGIN SELECT 1; SELECT 2; END;
";
const MARIADB: &str = "
CREATE SEQUENCE seq START WITH 5 INCREMENT BY 3; DO NEXTVAL(seq);
CREATE TABLE old (id int PRIMARY KEY) WITH SYSTEM VERSIONING; INSERT INTO old VALUES (1), (2), (3); DELETE FROM old WHERE id = 2;
";
const MYSQL: &str = "
SET sql_generate_invisible_primary_key = 1; CREATE TABLE hidden (name varchar(9)); INSERT INTO hidden VALUES ('x'), ('y');
SET sql_generate_invisible_primary_key = 0;
";

/// A database full of it.
pub fn filled(server: &Server) -> Database {
    let database = Database::create(server);
    let own = if server.engine == EngineKind::MySQL { MYSQL } else { MARIADB };
    let script = format!(
        "SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00';
         DELIMITER ;;\n{}\nDELIMITER ;\n{own}",
        BOTH.replace(";\n", ";;\n")
    );
    database.run(&script);
    database
}

/// What a backup says: for each table columns and rows, the script, what a reader is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    tables: BTreeMap<String, (String, i64, Vec<String>)>,
    schema: String,
    warnings: Vec<String>,
    sequences: String,
    totals: String,
}

impl Picture {
    /// Reads all of a backup.
    pub async fn of(backup: &BackupSummary, manifest: &Manifest, store: &Store) -> Self {
        let mut tables = BTreeMap::new();
        for table in &manifest.tables {
            let rows = sorted_lines(&copied(backup, store, table).await);
            tables.insert(table.name.clone(), (format!("{:?}", table.columns), table.rows, rows));
        }
        let schema = store.get(&format!("{}{}", backup.prefix, manifest.schema.object)).await.unwrap();
        let database = &manifest.identity.database;
        let warnings = manifest.warnings.iter().filter(|warning| !warning.starts_with("DEFINER"));
        Self {
            tables,
            schema: without_definers(&String::from_utf8_lossy(&schema).replace(database, "DATABASE")),
            warnings: warnings.map(|warning| warning.replace(database, "DATABASE")).collect(),
            sequences: format!("{:?}", manifest.sequences).replace(database, "DATABASE"),
            totals: format!("{} tables, {} rows", manifest.totals.tables, manifest.totals.rows),
        }
    }

    /// The first thing that differs, in words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        for name in self.tables.keys().chain(other.tables.keys()) {
            match (self.tables.get(name), other.tables.get(name)) {
                (Some(a), Some(b)) if a == b => {}
                (Some((columns, count, rows)), Some((columns_there, count_there, rows_there))) => {
                    let row = rows.iter().zip(rows_there).find(|(a, b)| a != b);
                    let columns = if columns == columns_there { "" } else { ", other columns" };
                    return Some(format!("{name}: {count} rows, then {count_there}{columns}; {row:?}"));
                }
                (here, _) => return Some(format!("{name} is {}", if here.is_some() { "missing" } else { "new" })),
            }
        }
        if self.schema != other.schema {
            let lines = self.schema.lines().zip(other.schema.lines()).find(|(a, b)| a != b);
            return Some(format!("the script: {lines:?}, {} and {} bytes", self.schema.len(), other.schema.len()));
        }
        (self != other).then(|| {
            format!(
                "{:?} {} {}, then {:?} {} {}",
                self.warnings, self.sequences, self.totals, other.warnings, other.sequences, other.totals
            )
        })
    }
}

/// Whoever loads a backup becomes the definer: that is no difference.
fn without_definers(script: &str) -> String {
    let line = |line: &str| match line.split_once(",\"definer\":") {
        Some((head, _)) if line.starts_with("-- sennight {") => format!("{head}}}\n"),
        _ => format!("{line}\n"),
    };
    script.lines().map(line).collect()
}

/// A backup of what `task` names, and what it says.
pub async fn backed_up(task: &DumpTask, store: &Store) -> Result<(BackupSummary, Manifest, Picture), TaskError> {
    let backup = dump_with(task, &context(store)).await?;
    let manifest = manifest(&backup, store).await;
    let picture = Picture::of(&backup, &manifest, store).await;
    Ok((backup, manifest, picture))
}
