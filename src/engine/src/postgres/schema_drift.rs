//! Detects schema changes during a dump that no lock prevents. `pg_dump` reads catalogs in the snapshot, but the server prints
//! definitions from its caches: views, triggers, defaults and enum labels as they are *now*. A backup that mixes two moments
//! may not load, so the dump fails.

use super::connect::{Session, connect_to_read};
use super::error::EngineError;
use sennight_protocol::target::DatabaseTarget;
use std::collections::BTreeMap;
use tokio_postgres::Row;

/// Rows of the catalogs that are printed from caches: what they are, what they say, which version of the row it is (a
/// relation's changes with every refresh and reindex, so it has none), and grants, which are read in the snapshot and may
/// change. `{seen}` picks those to look at.
const PRINTED: &str = "
SELECT 'function ' || proname AS what, 'p' || oid AS key, (to_jsonb(t) - 'proacl')::pg_catalog.text AS is, {version}, proacl::pg_catalog.text FROM pg_catalog.pg_proc t WHERE {seen}
UNION ALL SELECT 'type ' || typname, 't' || oid, (to_jsonb(t) - 'typacl')::pg_catalog.text, {version}, typacl::pg_catalog.text FROM pg_catalog.pg_type t WHERE {seen} AND {lasting: typnamespace}
UNION ALL SELECT 'enum value ' || enumlabel, 'e' || oid, enumlabel::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_enum t WHERE {seen}
UNION ALL SELECT 'schema ' || nspname, 'n' || oid, nspname::pg_catalog.text, {version}, nspacl::pg_catalog.text FROM pg_catalog.pg_namespace t WHERE {seen} AND {lasting: oid}
UNION ALL SELECT 'relation ' || relname, 'c' || oid, jsonb_build_array(relname, relnamespace, relkind)::pg_catalog.text, '', NULL
  FROM pg_catalog.pg_class t WHERE {seen} AND relkind IN ('v', 'm', 'c', 'f', 'i', 'I', 'S') AND {lasting: relnamespace}
UNION ALL SELECT 'column ' || attname, 'a' || attrelid || '.' || attnum, jsonb_build_array(attname, atttypid, atttypmod, attisdropped)::pg_catalog.text, {version}, attacl::pg_catalog.text
  FROM pg_catalog.pg_attribute t WHERE {seen} AND attnum > 0 AND attrelid IN (
       SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('v', 'm', 'c', 'f') AND {lasting: relnamespace})
UNION ALL SELECT 'rule ' || rulename, 'r' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_rewrite t WHERE {seen}
UNION ALL SELECT 'trigger ' || tgname, 'g' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_trigger t WHERE {seen} AND NOT tgisinternal
UNION ALL SELECT 'constraint ' || conname, 'd' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_constraint t WHERE {seen} AND contypid <> 0
UNION ALL SELECT 'operator ' || oprname, 'o' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_operator t WHERE {seen}
UNION ALL SELECT 'operator class ' || opcname, 'k' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_opclass t WHERE {seen}
UNION ALL SELECT 'operator family ' || opfname, 'f' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_opfamily t WHERE {seen}
UNION ALL SELECT 'collation ' || collname, 'l' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_collation t WHERE {seen}
UNION ALL SELECT 'text search configuration ' || cfgname, 'w' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_ts_config t WHERE {seen}
UNION ALL SELECT 'text search dictionary ' || dictname, 'y' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_ts_dict t WHERE {seen}
UNION ALL SELECT 'statistics ' || stxname, 'x' || oid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_statistic_ext t WHERE {seen}
UNION ALL SELECT 'sequence ' || seqrelid::pg_catalog.regclass, 's' || seqrelid, to_jsonb(t)::pg_catalog.text, {version}, NULL FROM pg_catalog.pg_sequence t WHERE {seen}";

/// Fails if anything of this kind that the snapshot sees is another one now. To be asked in the leader's transaction, after
/// everything was read; objects that came later are not in the snapshot and do no harm.
pub async fn check(session: &Session, target: &DatabaseTarget, application_name: &str) -> Result<(), EngineError> {
    // A row that the snapshot sees and that somebody replaced or deleted since carries their transaction as xmax. So does
    // one whose replacing was rolled back.
    let suspects = rows(session, "t.xmax <> '0'::pg_catalog.xid").await?;
    if suspects.is_empty() {
        return Ok(());
    }
    let fresh = connect_to_read(target, &target.database, application_name).await?;
    let now = rows(&fresh, "true").await?;
    fresh.close().await;
    let changed = suspects.into_iter().find(|(key, was)| now.get(key).is_none_or(|is| was.is_another(is)));
    match changed {
        None => Ok(()),
        Some((_, Printed { what, .. })) => Err(EngineError::SchemaChanged {
            doing: "the dump was running".to_owned(),
            why: format!("{what} was altered or dropped"),
        }),
    }
}

/// A row of [`PRINTED`].
struct Printed {
    what: String,
    says: String,
    version: String,
    grants: Option<String>,
}

impl Printed {
    /// Whether it may have been printed otherwise in between. One that was renamed there and back says what it said and is
    /// another version all the same; one whose grants are others is another version for that.
    fn is_another(&self, now: &Self) -> bool {
        self.says != now.says || (self.version != now.version && self.grants == now.grants)
    }
}

async fn rows(session: &Session, seen: &str) -> Result<BTreeMap<String, Printed>, EngineError> {
    let failed = |e| EngineError::query("looking whether the schema changed", e);
    let rows = session.query(&query(seen), &[]).await.map_err(failed)?;
    let printed = |row: &Row| {
        let (what, says) = (row.try_get(0)?, row.try_get(2)?);
        Ok((row.try_get(1)?, Printed { what, says, version: row.try_get(3)?, grants: row.try_get(4)? }))
    };
    rows.iter().map(printed).collect::<Result<_, _>>().map_err(failed)
}

fn query(seen: &str) -> String {
    let mut query =
        PRINTED.replace("{seen}", seen).replace("{version}", "t.xmin::pg_catalog.text || t.ctid::pg_catalog.text");
    for column in ["typnamespace", "relnamespace", "oid"] {
        // Temporary objects come and go with their sessions.
        let lasting =
            format!("{column} NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '^pg_(temp|toast)')");
        query = query.replace(&format!("{{lasting: {column}}}"), &lasting);
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_the_query_is_filled() {
        assert!(!query("true").contains('{'), "{}", query("true"));
    }
}
