//! Loads rows by COPY, and collects the statistics of what was loaded.

use super::connect::Session;
use super::error::EngineError;
use super::work_queue::run_shared;
use super::{ident, literal, qualified};
use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt, pin_mut};
use sennight_core::manifest::Table;
use std::collections::BTreeMap;

/// Why a table's rows did not go in: the source of the rows, or the server.
#[derive(Debug, thiserror::Error)]
pub enum CopyError<E: std::error::Error + 'static> {
    /// The rows could not be read.
    #[error(transparent)]
    Source(E),
    /// The server did not accept them.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Schema and name of a table.
pub type TableName = (String, String);

/// Partitions that may not accept the rows that they had, each with the root through which its rows are loaded instead. An enum
/// is hashed by OID, and a restored enum has other OIDs. Arrays, composites and ranges may contain enums.
pub async fn routes(session: &Session) -> Result<BTreeMap<TableName, TableName>, EngineError> {
    const ROUTES: &str = "
SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, rn.nspname::pg_catalog.text, r.relname::pg_catalog.text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)
  JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
 WHERE c.relispartition AND c.relkind = 'r' AND r.oid IN (
       SELECT pg_catalog.pg_partition_root(p.partrelid) FROM pg_catalog.pg_partitioned_table p
        WHERE p.partstrat = 'h' AND EXISTS (
              SELECT FROM pg_catalog.unnest(p.partclass::pg_catalog.oid[]) k
                JOIN pg_catalog.pg_opclass o ON o.oid = k AND o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace
               WHERE o.opcname IN ('enum_ops', 'array_ops', 'record_ops', 'range_ops', 'multirange_ops')))";
    let failed = |e| EngineError::query("looking for partitions by unstable hashes", e);
    let rows = session.query(ROUTES, &[]).await.map_err(failed)?;
    rows.iter()
        .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?))))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Statistics of everything that was loaded. A parent with a foreign child would be sampled over the network: such parents
/// are left to autovacuum, their other children are not.
pub async fn analyze(sessions: &[&Session]) -> Result<(), EngineError> {
    // The largest first; of the system's catalogs those that the role owns: a named one that it does not would only warn.
    const TABLES: &str = "
WITH RECURSIVE outside AS (
       SELECT oid AS relid FROM pg_catalog.pg_class WHERE relkind = 'f'
        UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN outside o ON o.relid = i.inhrelid)
SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND c.oid NOT IN (SELECT relid FROM outside)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i
        WHERE i.inhrelid = c.oid AND c.relispartition AND i.inhparent NOT IN (SELECT relid FROM outside))
 ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, n.nspname";
    let failed = |e| EngineError::query("ANALYZE of the new database", e);
    let Some(session) = sessions.first() else { return Ok(()) };
    let tables = session.query(TABLES, &[]).await.map_err(failed)?;
    let names: Vec<String> = tables.iter().map(|row| qualified(row.get(0), row.get(1))).collect();
    let some: Vec<String> =
        names.chunks(if sessions.len() > 1 { 1 } else { 500 }).map(|some| some.join(", ")).collect();
    run_shared(sessions, &some, analyze_some).await.map(drop)
}

async fn analyze_some(session: &Session, names: &String) -> Result<(), EngineError> {
    let analyzed = session.batch_execute(&format!("ANALYZE {names}")).await;
    analyzed.map_err(|e| EngineError::query("ANALYZE of the new database", e))
}

/// Where rows are loaded.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// The table.
    Table,
    /// The table, which this transaction empties first: its rows are frozen at once, so that no later reader writes hint
    /// bits and no vacuum has to come back for them.
    Fresh,
    /// The root that routes them.
    Root(&'a TableName),
}

/// `COPY … FROM STDIN` for the manifest's columns in their order.
fn copy_statement(table: &Table, into: Destination<'_>, encoding: &str) -> String {
    let (schema, name) = match into {
        Destination::Root((schema, name)) => (schema, name),
        Destination::Table | Destination::Fresh => (&table.schema, &table.name),
    };
    let freeze = if matches!(into, Destination::Fresh) { "FREEZE, " } else { "" };
    let columns: Vec<String> = table.columns.iter().map(|c| ident(&c.name)).collect();
    // A table without columns has rows all the same; COPY takes no empty list.
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    format!(
        "COPY {}{columns} FROM STDIN (FORMAT text, {freeze}ENCODING {})",
        qualified(schema, name),
        literal(encoding)
    )
}

/// Sends rows where they belong and returns how many the server took. If the rows end in an error, none of them stays.
pub async fn copy_rows<E: std::error::Error + 'static>(
    session: &Session,
    table: &Table,
    into: Destination<'_>,
    encoding: &str,
    rows: impl Stream<Item = Result<Bytes, E>>,
) -> Result<i64, CopyError<E>> {
    let failed = |e| EngineError::query(format!("loading {}.{}", table.schema, table.name), e);
    let fresh = matches!(into, Destination::Fresh);
    if fresh {
        let begin = format!("BEGIN; TRUNCATE ONLY {}", qualified(&table.schema, &table.name));
        session.batch_execute(&begin).await.map_err(failed)?;
    }
    let sink = session.copy_in(&copy_statement(table, into, encoding)).await.map_err(failed)?;
    pin_mut!(sink, rows);
    while let Some(some) = rows.next().await {
        // On an error the sink is dropped: the server then discards the rows.
        send_chunks(&mut sink, some.map_err(CopyError::Source)?).await.map_err(failed)?;
    }
    let taken = sink.finish().await.map_err(failed)?;
    if fresh {
        session.batch_execute("COMMIT").await.map_err(failed)?;
    }
    Ok(i64::try_from(taken).unwrap_or(i64::MAX))
}

/// Sends rows in chunks: the protocol buffers a whole message, and a frame may have 64 MiB.
async fn send_chunks<S>(sink: &mut S, mut rows: Bytes) -> Result<(), S::Error>
where
    S: Sink<Bytes> + Unpin,
{
    while !rows.is_empty() {
        let chunk = rows.split_to(rows.len().min(256 << 10));
        sink.send(chunk).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Column;

    #[test]
    fn copy_names_the_columns_in_the_order_of_the_rows() {
        let mut table = Table {
            schema: "s".to_owned(),
            name: "odd\"t".to_owned(),
            columns: vec![
                Column { name: "B".to_owned(), kind: "text".to_owned() },
                Column { name: "a".to_owned(), kind: "text".to_owned() },
            ],
            rows: 0,
            frames: Vec::new(),
        };
        assert_eq!(
            copy_statement(&table, Destination::Table, "UTF8"),
            "COPY \"s\".\"odd\"\"t\" (\"B\", \"a\") FROM STDIN (FORMAT text, ENCODING 'UTF8')"
        );
        let root = ("s".to_owned(), "all".to_owned());
        assert!(
            copy_statement(&table, Destination::Root(&root), "UTF8").starts_with("COPY \"s\".\"all\" (\"B\", \"a\")")
        );
        table.columns.clear();
        assert_eq!(
            copy_statement(&table, Destination::Table, "LATIN1"),
            "COPY \"s\".\"odd\"\"t\" FROM STDIN (FORMAT text, ENCODING 'LATIN1')"
        );
    }
}
