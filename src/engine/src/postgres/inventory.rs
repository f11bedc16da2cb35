//! Lists a database: the tables whose rows are dumped, what is left to `pg_dump` and why, and the facts that a restore needs.

use super::connect::Session;
use super::error::EngineError;
use super::qualified;
use sennight_core::manifest::{Column, Extension, ServerFacts};
use tokio_postgres::Row;

/// A table whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// OID: by it a table that was dropped and created again is recognised as another one.
    pub oid: u32,
    /// Name of its schema.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// Stored columns in the order of the row text.
    pub columns: Vec<Column>,
    /// Whether rows lie in the heap, so that ranges of `ctid` mean what they say.
    pub heap: bool,
}

impl TableInfo {
    /// Schema and name, quoted.
    pub fn qualified(&self) -> String {
        qualified(&self.schema, &self.name)
    }
}

/// The tables of a database, as one session sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Tables with rows of their own, by schema and name.
    pub tables: Vec<TableInfo>,
    /// Partitioned tables: no rows, but locked, so that no partition comes or goes.
    pub parents: Vec<(String, String)>,
    /// What is not in `tables` although it looks like a table, one sentence each.
    pub notes: Vec<String>,
}

const TABLES: &str = "
SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
       coalesce(am.amname = 'heap', false),
       coalesce(cols.names, '{}'), coalesce(cols.types, '{}'),
       (SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
  LEFT JOIN LATERAL (
       SELECT array_agg(a.attname::pg_catalog.text ORDER BY a.attnum) AS names,
              array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types
         FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       ) cols ON true
 WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY n.nspname, c.relname";

impl Inventory {
    /// Lists the database as the session sees it now. Takes no lock on any of it.
    pub async fn read(session: &Session) -> Result<Self, EngineError> {
        let failed = |e| EngineError::query("listing the tables", e);
        let mut inventory = Self::default();
        for row in session.query(TABLES, &[]).await.map_err(failed)? {
            inventory.add(&row).map_err(failed)?;
        }
        Ok(inventory)
    }

    fn add(&mut self, row: &Row) -> Result<(), tokio_postgres::Error> {
        let (schema, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let kind: String = row.try_get(3)?;
        if let Some(extension) = row.try_get::<_, Option<String>>(7)? {
            self.notes.push(format!(
                "{schema}.{name} belongs to extension {extension}: of its rows the schema archive holds those that the extension marks as configuration"
            ));
        } else if kind == "f" {
            self.notes
                .push(format!("{schema}.{name} is a foreign table: its rows live elsewhere and are not in the backup"));
        } else if kind == "p" {
            self.parents.push((schema, name));
        } else {
            let (names, types): (Vec<String>, Vec<String>) = (row.try_get(5)?, row.try_get(6)?);
            let columns = names.into_iter().zip(types).map(|(name, kind)| Column { name, kind }).collect();
            self.tables.push(TableInfo { oid: row.try_get(0)?, schema, name, columns, heap: row.try_get(4)? });
        }
        Ok(())
    }

    /// The first difference between `self` and `now`, as a sentence.
    pub fn first_difference(&self, now: &Self) -> Option<String> {
        let old = |t: &&TableInfo| !now.tables.contains(t);
        let new = |t: &&TableInfo| !self.tables.contains(t);
        let table = |t: &TableInfo| format!("{}.{} was created, dropped or altered", t.schema, t.name);
        let changed = self.tables.iter().find(old).or_else(|| now.tables.iter().find(new));
        changed.map(table).or_else(|| {
            (self.parents != now.parents).then(|| "a partitioned table was created, dropped or renamed".to_owned())
        })
    }
}

/// Version, locale and extensions of the session's database.
pub async fn server_facts(session: &Session) -> Result<ServerFacts, EngineError> {
    let failed = |e| EngineError::query("reading the database's settings", e);
    let locale = match session.server_major() {
        ..15 => "'c'::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text",
        15 => "datlocprovider::pg_catalog.text, daticulocale::pg_catalog.text, NULL::pg_catalog.text",
        16 => "datlocprovider::pg_catalog.text, daticulocale::pg_catalog.text, daticurules",
        _ => "datlocprovider::pg_catalog.text, datlocale::pg_catalog.text, daticurules",
    };
    let query = format!(
        "SELECT version(), datcollate::pg_catalog.text, datctype::pg_catalog.text, {locale}, pg_database_size(oid)
           FROM pg_catalog.pg_database WHERE datname = current_database()"
    );
    let row = session.query_one(&query, &[]).await.map_err(failed)?;
    let extensions = session
        .query("SELECT extname::pg_catalog.text, extversion FROM pg_catalog.pg_extension ORDER BY 1", &[])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| Ok(Extension { name: row.try_get(0)?, version: row.try_get(1)? }))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let provider: String = row.try_get(3).map_err(failed)?;
    Ok(ServerFacts {
        version: row.try_get(0).map_err(failed)?,
        major: session.server_major(),
        encoding: session.encoding().to_owned(),
        collate: row.try_get(1).map_err(failed)?,
        ctype: row.try_get(2).map_err(failed)?,
        locale_provider: match provider.as_str() {
            "i" => "icu".to_owned(),
            "b" => "builtin".to_owned(),
            _ => "libc".to_owned(),
        },
        locale: row.try_get(4).map_err(failed)?,
        icu_rules: row.try_get(5).map_err(failed)?,
        extensions,
        database_bytes: row.try_get(6).map_err(failed)?,
    })
}

/// Roles that own something in the database or are named by a grant, a policy or a default privilege.
pub async fn roles(session: &Session) -> Result<Vec<String>, EngineError> {
    // The bootstrap superuser has no entries in pg_shdepend, so owners are asked for by themselves.
    const ROLES: &str = "
SELECT DISTINCT r.rolname::pg_catalog.text FROM (
    SELECT d.refobjid AS oid FROM pg_catalog.pg_shdepend d
      JOIN pg_catalog.pg_database b ON b.oid = d.dbid AND b.datname = current_database()
     WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    UNION ALL SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't'
    UNION ALL SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
    UNION ALL SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384
    UNION ALL SELECT typowner FROM pg_catalog.pg_type WHERE oid >= 16384
    UNION ALL SELECT extowner FROM pg_catalog.pg_extension WHERE oid >= 16384
    UNION ALL SELECT lomowner FROM pg_catalog.pg_largeobject_metadata
) used JOIN pg_catalog.pg_roles r ON r.oid = used.oid ORDER BY 1";
    let failed = |e| EngineError::query("listing the roles in use", e);
    let rows = session.query(ROLES, &[]).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, column: &str) -> TableInfo {
        TableInfo {
            oid,
            schema: "s".into(),
            name: "t".into(),
            columns: vec![Column { name: column.into(), kind: "integer".into() }],
            heap: true,
        }
    }

    #[test]
    fn a_table_made_anew_or_altered_is_a_difference() {
        let of = |tables: Vec<TableInfo>| Inventory { tables, ..Inventory::default() };
        let before = of(vec![table(1, "a")]);
        assert_eq!(before.first_difference(&before), None);
        for now in [of(vec![table(2, "a")]), of(vec![table(1, "b")]), of(vec![])] {
            let words = before.first_difference(&now).unwrap();
            assert!(words.contains("s.t"), "{words}");
        }
    }
}
