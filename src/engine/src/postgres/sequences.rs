//! Reads the state of every sequence. LOCK does not work on sequences: an owner could replace one with a view during a dump,
//! and the view's functions would run with the reader's rights. So a sequence is read by its OID, or by a statement that is
//! checked to mean that OID before it runs.

use super::connect::Session;
use super::error::EngineError;
use super::qualified;
use futures::future::try_join_all;
use sennight_core::manifest::Sequence;
use tokio_postgres::Row;

/// Since this major a function reads a sequence's state by its OID.
const BY_OID_SINCE: i32 = 18;
/// Statements sent without waiting for the one before.
const AT_ONCE: usize = 100;
const DOING: &str = "reading the sequences";

const SEQUENCES: &str = "
SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 2, 3";

const STATES: &str = "
SELECT d.last_value, d.is_called, pg_catalog.has_sequence_privilege(u.o, 'SELECT')
  FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY u(o, i), pg_catalog.pg_get_sequence_data(u.o) d
 ORDER BY u.i";

/// A sequence that the transaction's snapshot sees.
struct SequenceName {
    oid: u32,
    schema: String,
    name: String,
}

/// The state of every sequence. Sequences stand outside of transactions, so this is their state *now*, not at the
/// snapshot: read it after the rows, and no row can hold a number that its sequence has not passed. The session must be in a
/// transaction: what a statement means stays locked until its end.
pub async fn sequences(session: &Session) -> Result<Vec<Sequence>, EngineError> {
    let failed = |e| EngineError::query(DOING, e);
    let rows = session.query(SEQUENCES, &[]).await.map_err(failed)?;
    let named: Vec<SequenceName> = rows
        .iter()
        .map(|row| Ok(SequenceName { oid: row.try_get(0)?, schema: row.try_get(1)?, name: row.try_get(2)? }))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let mut states = Vec::with_capacity(named.len());
    for some in named.chunks(AT_ONCE) {
        if session.server_major() >= BY_OID_SINCE {
            states.extend(by_oid(session, some).await?);
        } else {
            states.extend(try_join_all(some.iter().map(|one| by_checked_name(session, one))).await?);
        }
    }
    Ok(states)
}

async fn by_oid(session: &Session, named: &[SequenceName]) -> Result<Vec<Sequence>, EngineError> {
    let oids: Vec<u32> = named.iter().map(|one| one.oid).collect();
    let failed = |e| EngineError::query(DOING, e);
    let rows = session.query(STATES, &[&oids]).await.map_err(failed)?;
    named
        .iter()
        .zip(&rows)
        .map(|(one, row)| {
            let last_value: Option<i64> = row.try_get(0).map_err(failed)?;
            let Some(last_value) = last_value else {
                return Err(one.why_no_state(row.try_get(2).map_err(failed)?));
            };
            Ok(one.state(last_value, row.try_get(1).map_err(failed)?))
        })
        .collect()
}

/// Parsing a statement locks what it names until the transaction ends, and runs nothing of it. The server then tells which
/// relation the columns are of; only if that is the sequence is the statement executed.
async fn by_checked_name(session: &Session, one: &SequenceName) -> Result<Sequence, EngineError> {
    let failed = |e| EngineError::query(DOING, e);
    let query = format!("SELECT last_value, is_called FROM {}", qualified(&one.schema, &one.name));
    let statement = session.prepare(&query).await.map_err(failed)?;
    if statement.columns().iter().any(|column| column.table_oid() != Some(one.oid)) {
        return Err(one.replaced());
    }
    let row: Row = session.query_one(&statement, &[]).await.map_err(failed)?;
    Ok(one.state(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?))
}

impl SequenceName {
    fn state(&self, last_value: i64, is_called: bool) -> Sequence {
        Sequence { schema: self.schema.clone(), name: self.name.clone(), last_value, is_called }
    }

    fn replaced(&self) -> EngineError {
        let why = format!("the sequence {}.{} was dropped or replaced", self.schema, self.name);
        EngineError::SchemaChanged { doing: "the dump was running".to_owned(), why }
    }

    /// Why the server answers with nulls. Of what is gone it does not know whether one may read it.
    fn why_no_state(&self, allowed: Option<bool>) -> EngineError {
        let (schema, name, doing) = (&self.schema, &self.name, DOING.to_owned());
        match allowed {
            None => self.replaced(),
            Some(false) => {
                EngineError::PermissionDenied { doing, why: format!("permission denied for sequence {schema}.{name}") }
            }
            Some(true) => EngineError::Incomplete {
                what: doing,
                why: format!("the server does not tell the state of {schema}.{name}"),
            },
        }
    }
}
