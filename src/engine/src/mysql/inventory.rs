//! Lists a database: the tables whose rows are dumped, how each column is read, and what cannot be dumped.

use super::connect::Session;
use super::error::EngineError;
use super::ident;
use super::text::Kind;
use sennight_core::manifest::{Column, ServerFacts};
use std::collections::BTreeMap;

/// Prefix of Sennight's own tables (marks). They are not part of a backup.
pub const OWN: &str = "__sennight_";
/// Types whose values are bytes.
const BYTES: &[&str] = &[
    "bit",
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
    "vector",
];
/// Types whose text form the server reads back as the same value.
const TEXTS: &[&str] = &[
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "enum",
    "set",
    "json",
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "decimal",
    "tinyint",
    "smallint",
    "mediumint",
    "int",
    "bigint",
    "inet4",
    "inet6",
    "uuid",
];
/// Character sets that survive a conversion to utf8mb4 and back.
const SAFE: &[&str] = &["utf8mb4", "utf8mb3", "utf8", "latin1"];

/// A column that is stored, not generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredColumn {
    /// Its name and type, as the manifest has them.
    pub column: Column,
    /// How its values are written.
    pub kind: Kind,
    /// SQL expression that is selected.
    expression: String,
    /// SQL condition that is true if the text survives the conversion to utf8mb4; `None` if it always does.
    survives: Option<String>,
}

/// A table whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Stored columns in the order of the row text.
    pub columns: Vec<StoredColumn>,
    /// Estimated bytes on the server's disk.
    pub bytes: i64,
    /// Whether its rows lie in partitions, which may be exchanged for another table under a snapshot.
    pub partitioned: bool,
    /// When it was created or renamed, if the server says so. By it a table that took another one's name is recognised.
    pub made_at: Option<String>,
}

impl TableInfo {
    /// The query that reads every row. `checked` adds a last column that is 0 where text would be lost, if it could be.
    pub fn select(&self, checked: bool) -> String {
        let mut columns: Vec<String> = self.columns.iter().map(|c| c.expression.clone()).collect();
        if columns.is_empty() {
            columns.push("1".to_owned());
        }
        let survive: Vec<&str> = self.columns.iter().filter_map(|c| c.survives.as_deref()).collect();
        if checked && !survive.is_empty() {
            columns.push(survive.join(" AND "));
        }
        format!("SELECT {} FROM {}", columns.join(", "), ident(&self.name))
    }

    /// Whether [`TableInfo::select`] adds a column.
    pub fn is_checked(&self) -> bool {
        self.columns.iter().any(|c| c.survives.is_some())
    }
}

/// Everything that a dump reads, except definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Tables, by name.
    pub tables: Vec<TableInfo>,
    /// Views, by name.
    pub views: Vec<String>,
    /// MariaDB's sequences, by name.
    pub sequences: Vec<String>,
    /// Tables that are not InnoDB's: name and engine.
    pub others: Vec<(String, String)>,
    /// Warnings for people, one sentence each.
    pub notes: Vec<String>,
}

type TableRow = (String, String, Option<String>, Option<u64>, Option<String>, Option<String>);
type ColumnRow = (String, String, String, String, Option<String>, String);

impl Inventory {
    /// Lists the session's database as it is now. Takes no lock that stays.
    pub async fn read(session: &mut Session) -> Result<Self, EngineError> {
        let doing = "listing the tables";
        let mut tables: Vec<TableRow> = session
            .rows(
                "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, DATA_LENGTH, CREATE_OPTIONS, CAST(CREATE_TIME AS CHAR) FROM information_schema.TABLES
                  WHERE TABLE_SCHEMA = DATABASE()",
                doing,
            )
            .await?;
        let columns: Vec<ColumnRow> = session
            .rows(
                "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, CHARACTER_SET_NAME, COALESCE(EXTRA, '')
                   FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION",
                doing,
            )
            .await?;
        let mut by_table: BTreeMap<String, Vec<ColumnRow>> = BTreeMap::new();
        for column in columns {
            by_table.entry(column.0.clone()).or_default().push(column);
        }
        tables.retain(|table| !table.0.starts_with(OWN));
        tables.sort();
        let mut inventory = Self::default();
        for table in tables {
            let columns = by_table.remove(&table.0).unwrap_or_default();
            inventory.add(table, columns)?;
        }
        if let Some(views) = unreadable_views(session, "DATABASE()").await? {
            inventory.notes.push(format!("{UNREADABLE}; a restore leaves out those that cannot be made: {views}"));
        }
        Ok(inventory)
    }

    fn add(&mut self, table: TableRow, columns: Vec<ColumnRow>) -> Result<(), EngineError> {
        let (name, kind, engine, data, options, made_at) = table;
        match kind.as_str() {
            "VIEW" => self.views.push(name),
            "SEQUENCE" => self.sequences.push(name),
            "TEMPORARY" => {}
            kind => {
                if kind == "SYSTEM VERSIONED" {
                    self.notes.push(format!(
                        "{name} keeps its history (WITH SYSTEM VERSIONING): the backup holds the rows that were current, not the history"
                    ));
                }
                // A table that the server cannot open has no engine: reading it will say why.
                if let Some(engine) = engine.filter(|engine| engine != "InnoDB") {
                    self.others.push((name.clone(), engine));
                }
                let stored = columns.into_iter().filter(|(.., extra)| !is_generated(extra));
                let columns = stored.map(stored_column).collect::<Result<_, _>>()?;
                let bytes = i64::try_from(data.unwrap_or_default()).unwrap_or(i64::MAX);
                let partitioned = options.is_some_and(|options| options.contains("partitioned"));
                self.tables.push(TableInfo { name, columns, bytes, partitioned, made_at });
            }
        }
        Ok(())
    }

    /// Refuses tables that a snapshot does not cover, or only notes them if `allow_others`.
    pub fn transactional(&mut self, allow_others: bool) -> Result<(), EngineError> {
        if self.others.is_empty() {
            return Ok(());
        }
        let tables =
            self.others.iter().map(|(name, engine)| format!("{name} ({engine})")).collect::<Vec<_>>().join(", ");
        if !allow_others {
            return Err(EngineError::NonTransactional { tables });
        }
        self.notes.push(format!("not InnoDB's, so their rows are as they were when they were read: {tables}"));
        Ok(())
    }
}

/// Whether the values of a type (without its length) are bytes.
pub fn is_bytes(data_type: &str) -> bool {
    BYTES.contains(&data_type)
}

/// MySQL says `DEFAULT_GENERATED` of an expression as default, which is another thing.
fn is_generated(extra: &str) -> bool {
    extra.contains("STORED GENERATED") || extra.contains("VIRTUAL GENERATED") || extra.contains("PERSISTENT GENERATED")
}

fn stored_column((table, name, column_type, data_type, charset, _): ColumnRow) -> Result<StoredColumn, EngineError> {
    let quoted = ident(&name);
    let data_type = data_type.to_ascii_lowercase();
    let (kind, expression) = match data_type.as_str() {
        // The server's own text of a FLOAT loses digits.
        "float" | "double" => (Kind::Text, format!("CAST({quoted} AS DOUBLE)")),
        bytes if is_bytes(bytes) => (Kind::Hex, quoted.clone()),
        text if TEXTS.contains(&text) && column_type.contains("zerofill") => (Kind::ZeroFilled, quoted.clone()),
        text if TEXTS.contains(&text) => (Kind::Text, quoted.clone()),
        _ => return Err(EngineError::UnknownType { column: format!("{table}.{name}"), kind: column_type }),
    };
    let survives = charset.filter(|set| kind == Kind::Text && !SAFE.contains(&set.as_str())).map(|set| {
        // Not by CAST AS BINARY, which answers NULL to what is longer than max_allowed_packet. The character set `binary`
        // has one collation, of its own name, which MariaDB 10.11 does not take after COLLATE.
        let collate = if set == "binary" { String::new() } else { format!(" COLLATE {set}_bin") };
        format!("({quoted} IS NULL OR CONVERT(CONVERT({quoted} USING utf8mb4) USING {set}){collate} = {quoted})")
    });
    Ok(StoredColumn { column: Column { name, kind: column_type }, kind, expression, survives })
}

/// How the note about unreadable views begins.
pub const UNREADABLE: &str =
    "some views cannot be read, because what they name is gone or whom they run as may not read it";
/// Most views that the note names.
const NAMED: usize = 20;

/// Views that nobody can read: an object that they name is gone, or their definer may not read it. `schema` is an SQL
/// expression. The server says so in TABLE_COMMENT; MariaDB only if a column is selected for which it must open the view.
pub async fn unreadable_views(session: &mut Session, schema: &str) -> Result<Option<String>, EngineError> {
    let query = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = {schema} AND TABLE_TYPE = 'VIEW' AND TABLE_COMMENT <> 'VIEW' AND COALESCE(DATA_LENGTH, 0) >= 0
          ORDER BY 1"
    );
    let found: Vec<(String,)> = session.rows(&query, "looking at the views").await?;
    let more = found.len().saturating_sub(NAMED);
    let names = found.into_iter().take(NAMED).map(|(name,)| name).collect::<Vec<_>>().join(", ");
    Ok(match more {
        _ if names.is_empty() => None,
        0 => Some(names),
        more => Some(format!("{names} and {more} more")),
    })
}

/// Version, character set and size, for the manifest.
pub async fn server_facts(session: &mut Session) -> Result<ServerFacts, EngineError> {
    let doing = "reading the database's settings";
    let (charset, collation): (String, String) = session
        .row(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
              WHERE SCHEMA_NAME = DATABASE()",
            doing,
        )
        .await?;
    let (bytes,): (Option<i64>,) = session
        .row(
            "SELECT CAST(SUM(COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)) AS SIGNED) FROM information_schema.TABLES
              WHERE TABLE_SCHEMA = DATABASE()",
            doing,
        )
        .await?;
    let version = session.version();
    Ok(ServerFacts {
        version: version.text.clone(),
        major: version.major,
        encoding: "utf8mb4".to_owned(),
        collate: collation,
        ctype: charset,
        locale_provider: String::new(),
        locale: None,
        icu_rules: None,
        extensions: Vec::new(),
        database_bytes: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str, data_type: &str, charset: Option<&str>) -> Result<StoredColumn, EngineError> {
        stored_column(("t".into(), name.into(), kind.into(), data_type.into(), charset.map(Into::into), String::new()))
    }

    #[test]
    fn columns_are_read_so_that_nothing_is_lost() {
        let float = column("f", "float", "float", None).unwrap();
        assert_eq!((float.kind, float.expression.as_str()), (Kind::Text, "CAST(`f` AS DOUBLE)"));
        assert_eq!(column("b", "bit(12)", "bit", None).unwrap().kind, Kind::Hex);
        assert_eq!(column("z", "int(6) unsigned zerofill", "int", None).unwrap().kind, Kind::ZeroFilled);
        assert_eq!(column("x", "sys_refcursor", "sys_refcursor", None).unwrap_err().reason(), "UnknownType");
        assert!(column("u", "text", "text", Some("utf8mb4")).unwrap().survives.is_none());
        let table = TableInfo {
            name: "t".into(),
            columns: vec![float, column("s`", "char(3)", "char", Some("sjis")).unwrap()],
            bytes: 0,
            partitioned: false,
            made_at: None,
        };
        assert_eq!(table.select(false), "SELECT CAST(`f` AS DOUBLE), `s``` FROM `t`");
        assert!(table.is_checked() && table.select(true).contains("USING sjis) COLLATE sjis_bin = `s```) FROM"));
        assert!(
            is_generated("STORED GENERATED INVISIBLE")
                && !is_generated("DEFAULT_GENERATED on update CURRENT_TIMESTAMP")
        );
    }
}
