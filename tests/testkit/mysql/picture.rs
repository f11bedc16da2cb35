//! A database as text that can be compared: what the server says of every object, and every row of every column, read by
//! other queries than those of a dump.

use crate::mysql::Database;
use crate::picture::{Parts, differences};
use sennight_engine::mysql::schema::strip_definer;
use sennight_engine::mysql::{Session, ident};

/// Lines by what they belong to.
pub struct Picture {
    parts: Parts,
}

/// Catalogs of both families; names of columns by which objects are told apart come first. What counts, caches or is a
/// moment is left out.
const FACTS: [(&str, &str); 12] = [
    (
        "database",
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()",
    ),
    (
        "tables",
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, ROW_FORMAT, TABLE_COLLATION, CREATE_OPTIONS, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, 11) <> '__sennight_'",
    ),
    (
        "columns",
        "SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_KEY, EXTRA, COLUMN_COMMENT, GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, 11) <> '__sennight_'",
    ),
    (
        "indexes",
        "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE, INDEX_COMMENT FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, 11) <> '__sennight_'",
    ),
    (
        "constraints",
        "SELECT TABLE_NAME, CONSTRAINT_NAME, CONSTRAINT_TYPE FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, 11) <> '__sennight_'",
    ),
    (
        "checks",
        "SELECT CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()",
    ),
    (
        "references",
        "SELECT CONSTRAINT_NAME, UNIQUE_CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE, TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()",
    ),
    (
        "partitions",
        "SELECT TABLE_NAME, PARTITION_NAME, SUBPARTITION_NAME, PARTITION_ORDINAL_POSITION, PARTITION_METHOD, SUBPARTITION_METHOD, PARTITION_EXPRESSION, PARTITION_DESCRIPTION, PARTITION_COMMENT FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND PARTITION_NAME IS NOT NULL",
    ),
    (
        "routines",
        "SELECT ROUTINE_NAME, ROUTINE_TYPE, DTD_IDENTIFIER, ROUTINE_DEFINITION, IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
    ),
    (
        "triggers",
        "SELECT TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, ACTION_TIMING, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    ),
    (
        "events",
        "SELECT EVENT_NAME, TIME_ZONE, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, SQL_MODE, STARTS, ENDS, STATUS, ON_COMPLETION, EVENT_COMMENT, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
    ),
    (
        "views",
        "SELECT TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, IS_UPDATABLE, SECURITY_TYPE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()",
    ),
];

impl Picture {
    /// Looks at everything.
    pub async fn of(database: &Database) -> Self {
        let mut session = database.session().await;
        let own = ident(&database.name());
        let mut parts = Parts::new();
        for (what, query) in FACTS {
            let lines = lines(&mut session, query).await;
            // The database's own name may stand in what the server printed.
            parts.insert(what.to_owned(), lines.into_iter().map(|l| l.replace(&own, "`here`")).collect());
        }
        let tables = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        let tables: Vec<(String, String)> = session.rows(tables, "test").await.unwrap();
        for (table, kind) in tables.into_iter().filter(|(name, _)| !name.starts_with("__sennight_")) {
            let verb = match kind.as_str() {
                "VIEW" => "VIEW",
                "SEQUENCE" => "SEQUENCE",
                _ => "TABLE",
            };
            let text = shown(&mut session, &format!("SHOW CREATE {verb} {}", ident(&table)), 1).await;
            parts.insert(format!("definition of {table}"), vec![plain_collations(&text.replace(&own, "`here`"))]);
            let rows = rows(&mut session, &table).await;
            parts.insert(format!("rows of {table}"), rows);
        }
        for (verb, catalog, column, schema, at) in [
            (
                "",
                "ROUTINES",
                "CONCAT(ROUTINE_TYPE, ' ', '`', REPLACE(ROUTINE_NAME, '`', '``'), '`')",
                "ROUTINE_SCHEMA",
                2,
            ),
            ("TRIGGER ", "TRIGGERS", "CONCAT('`', REPLACE(TRIGGER_NAME, '`', '``'), '`')", "TRIGGER_SCHEMA", 1),
            ("EVENT ", "EVENTS", "CONCAT('`', REPLACE(EVENT_NAME, '`', '``'), '`')", "EVENT_SCHEMA", 3),
        ] {
            let query = format!("SELECT {column} FROM information_schema.{catalog} WHERE {schema} = DATABASE()");
            let names: Vec<(String,)> = session.rows(&query, "test").await.unwrap();
            for (name,) in names {
                let text = shown(&mut session, &format!("SHOW CREATE {verb}{name}"), at).await;
                parts.insert(format!("definition of {verb}{name}"), vec![text]);
            }
        }
        session.close().await;
        Self { parts }
    }

    /// What is different in `now`, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        differences(&self.parts, &now.parts)
    }

    /// The lines, by what they belong to.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How much there was to compare.
    pub fn summary(&self) -> String {
        let tables = self.parts.iter().filter(|(name, _)| name.starts_with("rows of"));
        let (count, rows) = tables.fold((0, 0), |(n, rows), (_, lines)| (n + 1, rows + lines.len()));
        let definitions = self.parts.keys().filter(|name| name.starts_with("definition of")).count();
        format!(
            "{definitions} definitions, {rows} rows of {count} tables and views, {} columns",
            self.parts["columns"].len()
        )
    }
}

/// MySQL prints a column's character set beside its collation or not, by how the column was once written; which they are stands
/// in the catalog.
fn plain_collations(text: &str) -> String {
    let mut pieces = text.split(" CHARACTER SET ");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(' ').filter(|(_, rest)| rest.starts_with("COLLATE ")) {
            Some((_, rest)) => out.extend([" ", rest]),
            None => out.extend([" CHARACTER SET ", piece]),
        }
    }
    out
}

/// One column of a SHOW CREATE, without the account; triggers as written behind their head, which is written anew.
async fn shown(session: &mut Session, statement: &str, at: usize) -> String {
    let row: mysql_async::Row = session.row(statement, "test").await.unwrap();
    let at = if statement.starts_with("SHOW CREATE TRIGGER") { 2 } else { at };
    // MariaDB 10.11 prints the bytes of a binary default as they are.
    let text: Vec<u8> = row.get_opt(at).unwrap_or_else(|| panic!("{statement}")).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (text, _) = strip_definer(&text);
    if statement.starts_with("SHOW CREATE TRIGGER") {
        // The whole text where its head is not understood: then it is written anew, and differs.
        return sennight_engine::mysql::schema::body_of_trigger(&text).unwrap_or(&text).to_owned();
    }
    text
}

async fn lines(session: &mut Session, query: &str) -> Vec<String> {
    let rows: Vec<mysql_async::Row> = session.rows(query, "test").await.unwrap_or_else(|e| panic!("{query}: {e}"));
    let mut lines: Vec<String> = rows.iter().map(|row| format!("{:?}", row.clone().unwrap())).collect();
    lines.sort();
    lines
}

/// Every column, generated and invisible ones too, so that two values are the same text only if they are the same.
async fn rows(session: &mut Session, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS
          WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        sennight_engine::mysql::literal(table)
    );
    let columns: Vec<(String, String)> = session.rows(&query, "test").await.unwrap();
    let expression = |(name, kind): &(String, String)| {
        let name = ident(name);
        match kind.to_lowercase().as_str() {
            // A float's bits: as a double it is exact.
            "float" | "double" => format!("CONCAT({name} * 1e0)"),
            "bit" => format!("CONCAT({name} + 0)"),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "date" | "datetime" | "timestamp"
            | "time" | "year" | "inet4" | "inet6" | "uuid" => format!("CAST({name} AS CHAR)"),
            "json" => format!("HEX(CAST({name} AS CHAR))"),
            _ => format!("HEX({name})"),
        }
    };
    let columns: Vec<String> = columns.iter().map(expression).collect();
    lines(session, &format!("SELECT {} FROM {}", columns.join(", "), ident(table))).await
}
