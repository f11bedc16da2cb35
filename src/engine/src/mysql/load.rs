//! Loads a backup's statements and rows: definitions in their order, rows by LOAD DATA LOCAL or by INSERT.

use super::connect::Session;
use super::error::EngineError;
use super::ident;
use super::insert::{Inserts, is_bytes};
use super::schema::{Header, Object, ObjectKind, Section, Statement, set, with_definer};
use super::text::for_load_data;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use sennight_core::manifest::Table;
use std::sync::Arc;

/// Length of an INSERT statement in bytes; longer ones are no faster.
const STATEMENT: usize = 1 << 20;
/// File name that the server asks the driver for; any name works.
const FILE: &str = "rows";
/// Bytes of one packet of LOAD DATA.
const PACKET: usize = 256 << 10;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMethod {
    /// `LOAD DATA LOCAL INFILE`.
    LoadData,
    /// `INSERT` of many rows.
    Insert,
}

impl LoadMethod {
    /// The faster one that the server allows.
    pub fn of(session: &Session) -> Self {
        if session.local_infile() { Self::LoadData } else { Self::Insert }
    }
}

/// Why a table's rows did not go in: the source of the rows, or the server.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: std::error::Error + 'static> {
    /// The rows could not be read.
    #[error(transparent)]
    Source(E),
    /// The server did not accept them.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Creates the objects of one section. Views are retried as long as another one can be created.
pub async fn apply(
    session: &mut Session,
    statements: &[Statement],
    section: Section,
    definers: Definers,
) -> Result<(), EngineError> {
    let now: Vec<Statement> = statements.iter().filter(|s| s.section == section).cloned().collect();
    in_order(session, &now, definers).await
}

/// Creates objects as they were read, in their order.
pub async fn make_objects(session: &mut Session, objects: &[&Object]) -> Result<(), EngineError> {
    let mut statements = Vec::new();
    for object in objects {
        let header = Header { kind: object.kind, name: object.name.clone(), definer: object.definer.clone() };
        let settings = object.settings.as_ref().map(|settings| set(settings, object));
        for sql in settings.into_iter().chain([object.text.clone()]) {
            statements.push(Statement { section: Section::After, header: header.clone(), sql });
        }
    }
    in_order(session, &statements, Definers::Original).await
}

/// The account that objects run as afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definers {
    /// The account that they ran as.
    Original,
    /// The account that creates them.
    Loader,
}

impl Definers {
    fn of(self, statement: &Statement) -> String {
        let definer = statement.header.definer.as_deref().filter(|_| self == Self::Original);
        definer.map_or_else(|| statement.sql.clone(), |definer| with_definer(&statement.sql, definer))
    }
}

async fn in_order(session: &mut Session, now: &[Statement], definers: Definers) -> Result<(), EngineError> {
    let mut views: Vec<&[Statement]> = Vec::new();
    for group in now.chunk_by(|a, b| a.header == b.header) {
        if group[0].header.kind == ObjectKind::View {
            views.push(group);
            continue;
        }
        if !views.is_empty() {
            make_views(session, std::mem::take(&mut views), definers).await?;
        }
        run_statements(session, group, |statement| definers.of(statement)).await?;
    }
    make_views(session, views, definers).await?;
    let mut events: Vec<&str> =
        now.iter().filter(|s| s.header.kind == ObjectKind::Event).map(|s| s.header.name.as_str()).collect();
    events.dedup();
    warn_of_missing_events(session, &events).await
}

async fn run_statements(
    session: &mut Session,
    group: &[Statement],
    sql: impl Fn(&Statement) -> String,
) -> Result<(), EngineError> {
    for statement in group {
        let Header { kind, name, .. } = &statement.header;
        let doing = format!("making {kind:?} {name}");
        match session.run(&sql(statement), &doing).await {
            // A one-time event whose time is past: the server has no such event.
            Err(error @ EngineError::SchemaChanged { .. }) if *kind == ObjectKind::EventState => {
                tracing::warn!(%error, event = name, "event not switched on: its last time is past");
            }
            made => made?,
        }
    }
    Ok(())
}

/// Logs the events that the server did not create. It silently skips an event whose last time is past, unless it is ON
/// COMPLETION PRESERVE. On the server that was dumped it would be gone by now, too.
async fn warn_of_missing_events(session: &mut Session, wanted: &[&str]) -> Result<(), EngineError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let query = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()";
    let found: Vec<(String,)> = session.rows(query, "looking which events there are").await?;
    for name in wanted.iter().filter(|name| !found.iter().any(|(existing,)| existing == *name)) {
        tracing::warn!(event = name, "event not created: its last time is past");
    }
    Ok(())
}

/// Creates views. The definer of a view may have no rights on a new or previous schema: such a view can be created, but no
/// view that reads it. Then all are first created with this session's account, and afterwards replaced with their own
/// definers, each before those that it reads.
async fn make_views(session: &mut Session, views: Vec<&[Statement]>, definers: Definers) -> Result<(), EngineError> {
    let alone = views.len() < 2 || definers == Definers::Loader;
    let Turns { made, stuck } = make_views_in_turns(session, views.clone(), |statement| definers.of(statement)).await?;
    if stuck.is_empty() || alone {
        return leave_out(stuck);
    }
    let names = stuck.iter().map(|(group, _)| group[0].header.name.as_str()).collect::<Vec<_>>().join(", ");
    tracing::info!(
        views = names,
        made = made.len(),
        "views not created with their definers; creating them in two steps"
    );
    let Turns { made, stuck } =
        make_views_in_turns(session, views, |statement| replacing(&Definers::Loader.of(statement))).await?;
    for group in made.into_iter().rev() {
        run_statements(session, group, |statement| replacing(&definers.of(statement))).await?;
    }
    leave_out(stuck)
}

/// Result of creating views.
struct Turns<'a> {
    /// Created views, in the order that worked.
    made: Vec<&'a [Statement]>,
    /// Views that cannot be created here, and why.
    stuck: Vec<(&'a [Statement], EngineError)>,
}

/// Creates each view after those that it reads, by retrying as long as another one can be created.
async fn make_views_in_turns<'a>(
    session: &mut Session,
    mut left: Vec<&'a [Statement]>,
    sql: impl Fn(&Statement) -> String + Copy,
) -> Result<Turns<'a>, EngineError> {
    let mut made = Vec::with_capacity(left.len());
    loop {
        let (count, mut stuck) = (left.len(), Vec::new());
        for group in left {
            match run_statements(session, group, sql).await {
                Ok(()) => made.push(group),
                Err(error @ EngineError::ConnectionLost { .. }) => return Err(error),
                Err(error) => stuck.push((group, error)),
            }
        }
        if stuck.is_empty() || stuck.len() == count {
            return Ok(Turns { made, stuck });
        }
        left = stuck.into_iter().map(|(group, _)| group).collect();
    }
}

/// A view that reads an object that is gone cannot be created anywhere, and could not be read where it was: a restore leaves
/// it out. Any other reason is an error.
fn leave_out(stuck: Vec<(&[Statement], EngineError)>) -> Result<(), EngineError> {
    for (group, error) in stuck {
        if !error.is_about_what_is_named() {
            return Err(error);
        }
        tracing::warn!(view = group[0].header.name, %error, "view left out: it reads an object that does not exist");
    }
    Ok(())
}

/// The same statement for a view that exists already.
fn replacing(sql: &str) -> String {
    sql.strip_prefix("CREATE ").map_or_else(|| sql.to_owned(), |rest| format!("CREATE OR REPLACE {rest}"))
}

/// Sends rows into a table. Returns how many the server took. Rows sent before an error stay: the caller drops the database.
pub async fn rows<E, S>(session: &mut Session, table: &Table, how: LoadMethod, rows: S) -> Result<i64, LoadError<E>>
where
    E: std::error::Error + Send + 'static,
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
{
    if how == LoadMethod::LoadData && !table.columns.is_empty() {
        return load_data(session, table, rows).await;
    }
    let mut rows = Box::pin(rows);
    let limit = STATEMENT.min(session.max_allowed_packet() / 2);
    let mut taken = 0;
    while let Some(raw) = rows.next().await {
        for (statement, count) in Inserts::new(table, &raw.map_err(LoadError::Source)?, limit) {
            // The server would only close the connection. One byte of the packet is the command.
            if statement.len() >= session.max_allowed_packet() {
                let (table, bytes, limit) = (table.name.clone(), statement.len(), session.max_allowed_packet());
                return Err(EngineError::RowTooLarge { table, bytes, limit }.into());
            }
            let doing = || format!("loading {}", table.name);
            session.conn().query_drop(statement).await.map_err(|e| EngineError::query(doing(), &e))?;
            taken += count;
        }
    }
    Ok(taken)
}

async fn load_data<E, S>(session: &mut Session, table: &Table, rows: S) -> Result<i64, LoadError<E>>
where
    E: std::error::Error + Send + 'static,
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
{
    let failure = Arc::new(Mutex::new(None));
    let first_failure = failure.clone();
    let packets: BoxStream<'static, std::io::Result<Bytes>> = rows
        .flat_map(move |raw| {
            let raw = raw.map(|raw| Bytes::from(for_load_data(&raw))).map_err(|error| {
                *first_failure.lock() = Some(error);
                std::io::Error::other("the rows could not be had")
            });
            futures::stream::iter(packets(raw))
        })
        .boxed();
    // The driver wants a value that is Sync; the stream is used by one thread only.
    let packets = Mutex::new(Some(packets));
    session.conn().set_infile_handler(async move {
        let packets = packets.lock().take();
        Ok(packets.unwrap_or_else(|| futures::stream::empty().boxed()))
    });
    let loaded = session.conn().query_drop(statement(table, FILE)).await;
    if let Some(error) = failure.lock().take() {
        return Err(LoadError::Source(error));
    }
    loaded.map_err(|e| EngineError::query(format!("loading {}", table.name), &e))?;
    Ok(i64::try_from(session.conn().affected_rows()).unwrap_or(i64::MAX))
}

fn packets(raw: std::io::Result<Bytes>) -> Vec<std::io::Result<Bytes>> {
    let mut raw = match raw {
        Ok(raw) => raw,
        Err(error) => return vec![Err(error)],
    };
    let mut packets = Vec::new();
    while !raw.is_empty() {
        packets.push(Ok(raw.split_to(raw.len().min(PACKET))));
    }
    packets
}

/// The LOAD DATA statement for `file`, a name without quotes. Bytes come as hex: they go into a variable first.
pub fn statement(table: &Table, file: &str) -> String {
    let mut columns = Vec::with_capacity(table.columns.len());
    let mut set = Vec::new();
    let any_bytes = table.columns.iter().any(|column| is_bytes(&column.kind));
    for (at, column) in table.columns.iter().enumerate() {
        if is_bytes(&column.kind) {
            columns.push(format!("@c{at}"));
            set.push(format!("{} = UNHEX(@c{at})", ident(&column.name)));
        } else if any_bytes && may_count(&column.kind) {
            // MariaDB 10.11 and 11.8 give an AUTO_INCREMENT column that reads 0 the next number as soon as there is a SET,
            // whatever sql_mode says; not so where the column itself is set.
            columns.push(format!("@c{at}"));
            set.push(format!("{} = @c{at}", ident(&column.name)));
        } else {
            columns.push(ident(&column.name));
        }
    }
    let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE '{file}' INTO TABLE {} CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
        ident(&table.name),
        columns.join(", ")
    )
}

/// Whether a column of this type may be an AUTO_INCREMENT.
fn may_count(kind: &str) -> bool {
    ["tinyint", "smallint", "mediumint", "int", "bigint", "float", "double"].iter().any(|name| kind.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Column;

    #[test]
    fn bytes_go_through_unhex_and_all_columns_are_named() {
        let column = |name: &str, kind: &str| Column { name: name.into(), kind: kind.into() };
        let table = Table {
            schema: "d".into(),
            name: "t".into(),
            columns: vec![column("a", "int"), column("b", "bit(3)"), column("g", "POINT"), column("t", "text")],
            rows: 0,
            frames: vec![],
        };
        let text = statement(&table, FILE);
        assert!(
            text.ends_with("BY '\\n' (@c0, @c1, @c2, `t`) SET `a` = @c0, `b` = UNHEX(@c1), `g` = UNHEX(@c2)"),
            "{text}"
        );
    }
}
