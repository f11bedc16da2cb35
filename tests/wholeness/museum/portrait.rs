//! A database as text that can be compared: its definition by `pg_dump`, every row by COPY, and what neither of them tells.

use crate::servers::Server;
use crate::support::portrait::{Parts, differences};
use crate::support::{Database, sorted_lines};
use futures::TryStreamExt;
use sennight::engine::postgres::{Session, ident};

/// Lines by what they belong to: the definition, a table, a catalog.
pub struct Portrait {
    parts: Parts,
}

/// Relations with rows, and their columns by name: below a parent that got a column late their order is another one after
/// a restore. Leaves below a hash of enums are seen through their roots: their rows may move among them.
const RELATIONS: &str = "
SELECT n.nspname::text, c.relname::text, c.relkind::text,
       (SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attname), '') FROM pg_attribute
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relname NOT LIKE 'by\\_mood%\\__%'
   AND (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated OR c.relkind = 'p' AND c.relname LIKE 'by\\_mood%')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// What `pg_dump` does not print, or not for every role.
const FACTS: [(&str, &str); 12] = [
    ("schemas", "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'"),
    (
        "extensions",
        "SELECT concat_ws(' ', extname, extversion, extnamespace::regnamespace, extrelocatable) FROM pg_extension",
    ),
    (
        "sequences",
        "SELECT concat_ws(' ', schemaname, sequencename, sequenceowner, data_type, start_value, min_value, max_value, increment_by, cycle, cache_size, last_value) FROM pg_sequences",
    ),
    (
        "large objects",
        "SELECT concat_ws(' ', oid, md5(lo_get(oid)), length(lo_get(oid)), lomowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(lomacl) a), obj_description(oid, 'pg_largeobject')) FROM pg_largeobject_metadata",
    ),
    (
        "comments",
        "SELECT concat_ws(' ', (i).type, (i).identity, d.description) FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i WHERE d.objoid >= 16384 AND NOT (d.classoid = 'pg_largeobject'::regclass)",
    ),
    (
        "indexes",
        "SELECT concat_ws(' ', indexrelid::regclass, indisvalid, indisready, indisclustered, indisreplident, pg_get_indexdef(indexrelid)) FROM pg_index WHERE indexrelid >= 16384 AND indrelid::regclass::text !~ '^pg_toast'",
    ),
    (
        "triggers",
        "SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal",
    ),
    (
        "event triggers",
        "SELECT concat_ws(' ', evtname, evtevent, evtowner::regrole, evtenabled, evttags, evtfoid::regprocedure) FROM pg_event_trigger",
    ),
    (
        "enums",
        "SELECT concat_ws(' ', enumtypid::regtype, enumlabel, row_number() OVER (PARTITION BY enumtypid ORDER BY enumsortorder)) FROM pg_enum",
    ),
    (
        "user mappings",
        "SELECT concat_ws(' ', srvname, usename, (SELECT array_agg(o ORDER BY o) FROM unnest(umoptions) o)) FROM pg_user_mappings",
    ),
    (
        "settings",
        "SELECT concat_ws(' ', setrole::regrole, setconfig) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    (
        "database",
        "SELECT concat_ws(' ', datdba::regrole, encoding, datcollate, datctype, datconnlimit, dattablespace, (SELECT array_agg(a ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = current_database()",
    ),
];

impl Portrait {
    /// Looks at everything.
    pub async fn of(server: &Server, database: &Database) -> Self {
        let mut parts = Parts::new();
        let definition = server.run("pg_dump", &database.target.database, &["--schema-only", "--create"]);
        // The keys of \restrict are random.
        let lines = definition.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        // Entry by entry: where names are equal, their order is that of OIDs. The settings of a database's roles come in
        // the order of the catalog's pages.
        let mut entries: Vec<String> = text.split("\n--\n-- Name: ").map(ordered).collect();
        entries.sort();
        parts.insert("definition".to_owned(), entries);
        let session =
            sennight::engine::postgres::connect(&database.target, &database.target.database, "test").await.unwrap();
        session
            .batch_execute("SET default_transaction_read_only = off; SET quote_all_identifiers = off")
            .await
            .unwrap();
        for row in session.query(RELATIONS, &[]).await.unwrap() {
            let [schema, name, kind, columns] = [0, 1, 2, 3].map(|i| row.get::<_, String>(i));
            let only = if kind == "r" { "ONLY " } else { "" };
            let from = format!("(SELECT {columns} FROM {only}{}.{})", ident(&schema), ident(&name));
            parts.insert(format!("rows of {schema}.{name}"), rows(&session, &from).await);
        }
        for (what, query) in FACTS {
            parts.insert(what.to_owned(), rows(&session, &format!("({query})")).await);
        }
        session.close().await;
        Self { parts }
    }

    /// What is different in `now`, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        differences(&self.parts, &now.parts)
    }

    /// How much there was to compare.
    pub fn summary(&self) -> String {
        let tables = self.parts.iter().filter(|(name, _)| name.starts_with("rows of"));
        let (count, rows) = tables.fold((0, 0), |(n, rows), (_, lines)| (n + 1, rows + lines.len()));
        format!("{} definitions, {rows} rows of {count} tables", self.parts["definition"].len())
    }
}

fn ordered(entry: &str) -> String {
    let mut lines: Vec<&str> = entry.lines().collect();
    if lines.first().is_some_and(|head| head.contains("Type: DATABASE PROPERTIES")) {
        lines.sort_unstable();
    }
    lines.join("\n")
}

async fn rows(session: &Session, from: &str) -> Vec<String> {
    let stream = session.copy_out(&format!("COPY {from} TO STDOUT")).await.unwrap_or_else(|e| panic!("{from}: {e:?}"));
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap_or_else(|e| panic!("{from}: {e:?}"));
    sorted_lines(&pieces.concat())
}
