//! Compares a loaded database with its backup: tables and columns before the rows are loaded, then rows, sequences and indexes.

use super::connect::Session;
use super::error::EngineError;
use super::failure::RestoreError;
use super::inventory::Inventory;
use super::load::TableName;
use super::sequences;
use super::work_queue::run_shared;
use super::{literal, qualified};
use sennight_core::manifest::{Column, Manifest, Sequence, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Most differences that a message names.
const NAMED: usize = 5;

/// The schema archive must have made the tables of the manifest, with the same columns, and no others.
pub async fn tables(session: &Session, manifest: &Manifest) -> Result<(), RestoreError> {
    let made = Inventory::read(session).await?;
    let found: BTreeMap<(&str, &str), &[Column]> =
        made.tables.iter().map(|t| ((t.schema.as_str(), t.name.as_str()), t.columns.as_slice())).collect();
    match tables_differ(&found, &manifest.tables) {
        None => Ok(()),
        Some(difference) => Err(RestoreError::TablesDiffer { difference }),
    }
}

fn tables_differ(found: &BTreeMap<(&str, &str), &[Column]>, expected: &[Table]) -> Option<String> {
    let mut rest = found.clone();
    let mut differences = Vec::new();
    for table in expected {
        match rest.remove(&(table.schema.as_str(), table.name.as_str())) {
            None => differences.push(format!("{}.{} is missing", table.schema, table.name)),
            Some(columns) if !same_columns(columns, &table.columns) => {
                differences.push(format!("{}.{} has other columns", table.schema, table.name));
            }
            Some(_) => {}
        }
    }
    differences.extend(rest.keys().map(|(schema, name)| format!("{schema}.{name} is not in the manifest")));
    if differences.is_empty() {
        return None;
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    Some(match more {
        0 => differences.join(", "),
        more => format!("{} and {more} more", differences.join(", ")),
    })
}

/// The same names and types, in any order: where a parent got a column after its child was made, `pg_dump` puts the column
/// before the child's own ones. Rows are loaded by name.
fn same_columns(found: &[Column], expected: &[Column]) -> bool {
    found.len() == expected.len() && found.iter().all(|column| expected.contains(column))
}

/// Fails unless every table has as many rows as the manifest says; tables below a partition root are summed. Tables in `counted`
/// are skipped. To be called before row level security is on.
pub async fn rows(
    sessions: &[&Session],
    tables: &[Table],
    routes: &BTreeMap<TableName, TableName>,
    counted: &BTreeSet<TableName>,
) -> Result<(), RestoreError> {
    let mut sums: BTreeMap<&TableName, (i64, i64)> = BTreeMap::new();
    let asked: Vec<&Table> = tables.iter().filter(|t| !counted.contains(&(t.schema.clone(), t.name.clone()))).collect();
    let found = run_shared(sessions, &asked, count).await?;
    for (table, found) in asked.into_iter().zip(found) {
        match routes.get(&(table.schema.clone(), table.name.clone())) {
            None => same_rows(&table.schema, &table.name, table.rows, found)?,
            Some(root) => {
                let sum = sums.entry(root).or_default();
                *sum = (sum.0 + table.rows, sum.1 + found);
            }
        }
    }
    sums.into_iter().try_for_each(|((schema, name), (expected, found))| same_rows(schema, name, expected, found))
}

fn same_rows(schema: &str, name: &str, expected: i64, found: i64) -> Result<(), RestoreError> {
    if found == expected {
        return Ok(());
    }
    Err(RestoreError::RowsDiffer { table: format!("{schema}.{name}"), expected, found })
}

/// A table's rows, partitions and children not included.
async fn count(session: &Session, table: &&Table) -> Result<i64, EngineError> {
    let row = session
        .query_one(&format!("SELECT count(*) FROM ONLY {}", qualified(&table.schema, &table.name)), &[])
        .await
        .map_err(|e| EngineError::query(format!("counting the rows of {}.{}", table.schema, table.name), e))?;
    Ok(row.get(0))
}

/// Sets every sequence to the manifest's state. The archive's states are from another moment of the dump; the manifest's
/// were read after the rows, so that no row holds a number that its sequence will give out again.
pub async fn set_sequences(session: &Session, expected: &[Sequence]) -> Result<(), RestoreError> {
    for some in expected.chunks(100) {
        let calls: Vec<String> = some
            .iter()
            .map(|s| {
                format!(
                    "SELECT pg_catalog.setval({}::pg_catalog.regclass, {}, {});",
                    literal(&qualified(&s.schema, &s.name)),
                    s.last_value,
                    s.is_called
                )
            })
            .collect();
        session.batch_execute(&calls.concat()).await.map_err(|e| EngineError::query("setting the sequences", e))?;
    }
    Ok(())
}

/// Every sequence must stand where the manifest says, and there may be no other.
pub async fn sequences(session: &Session, expected: &[Sequence]) -> Result<(), RestoreError> {
    // In a transaction, so that a checked sequence cannot be replaced before it is read.
    let failed = |e| EngineError::query("comparing the sequences", e);
    session.batch_execute("BEGIN READ ONLY").await.map_err(failed)?;
    let found = sequences::sequences(session).await?;
    session.batch_execute("COMMIT").await.map_err(failed)?;
    let by_name = |list: &[Sequence]| -> BTreeMap<(String, String), String> {
        list.iter()
            .map(|s| {
                let state = format!("{}{}", s.last_value, if s.is_called { "" } else { " (not called)" });
                ((s.schema.clone(), s.name.clone()), state)
            })
            .collect()
    };
    let (found, expected) = (by_name(&found), by_name(expected));
    let state = |of: &BTreeMap<_, String>, key| of.get(key).cloned().unwrap_or_else(|| "nothing".to_owned());
    for key in expected.keys().chain(found.keys()) {
        let (want, have) = (state(&expected, key), state(&found, key));
        if want != have {
            return Err(RestoreError::SequencesDiffer {
                sequence: format!("{}.{}", key.0, key.1),
                expected: want,
                found: have,
            });
        }
    }
    Ok(())
}

/// No index may be invalid. (An index of a partitioned table is, rightly, until every partition has its part.)
pub async fn indexes(session: &Session) -> Result<(), RestoreError> {
    let rows = session
        .query(
            "SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_index i
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
              WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive) LIMIT 5",
            &[],
        )
        .await
        .map_err(|e| EngineError::query("looking for invalid indexes", e))?;
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Err(RestoreError::IndexesInvalid { indexes: names.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column { name: name.to_owned(), kind: "integer".to_owned() }
    }

    fn table(name: &str, columns: &[&str]) -> Table {
        Table {
            schema: "s".to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(|c| column(c)).collect(),
            rows: 0,
            frames: Vec::new(),
        }
    }

    #[test]
    fn a_missing_an_altered_and_a_surplus_table_are_each_named() {
        let (a, b) = ([column("a")], [column("b")]);
        let found = BTreeMap::from([(("s", "same"), &a[..]), (("s", "altered"), &b[..]), (("s", "new"), &a[..])]);
        let expected = [table("same", &["a"]), table("altered", &["a"]), table("gone", &["a"])];
        let words = tables_differ(&found, &expected).unwrap();
        assert_eq!(words, "s.altered has other columns, s.gone is missing, s.new is not in the manifest");
        assert_eq!(tables_differ(&BTreeMap::from([(("s", "same"), &a[..])]), &expected[..1]), None);
    }

    #[test]
    fn the_order_of_columns_is_no_difference_and_their_number_is() {
        let columns = |names: &[&str]| names.iter().map(|name| column(name)).collect::<Vec<_>>();
        assert!(same_columns(&columns(&["a", "b"]), &columns(&["b", "a"])));
        assert!(!same_columns(&columns(&["a", "b"]), &columns(&["a", "b", "c"])));
        assert!(!same_columns(&columns(&["a", "b", "c"]), &columns(&["a", "b"])));
    }

    #[test]
    fn a_long_list_is_cut() {
        let expected: Vec<Table> = (0..9).map(|n| table(&n.to_string(), &[])).collect();
        assert!(tables_differ(&BTreeMap::new(), &expected).unwrap().ends_with("and 4 more"));
    }
}
