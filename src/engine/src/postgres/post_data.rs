//! Decides which entries of an archive's last section several connections may build in parallel. `pg_restore --jobs` knows
//! dependencies, but not that a statement on a table also locks its parents and children. Nor that attaching one index may make
//! another valid. Run in parallel, such statements sometimes deadlock, or a foreign key does not find its key.

use super::connect::Session;
use super::error::EngineError;
use std::collections::{BTreeMap, BTreeSet};

/// Catalogs by which the table of contents says what an entry is (its words may be those of a name).
const PG_CLASS: u32 = 1259;
const PG_CONSTRAINT: u32 = 2606;
const PG_DEFAULT_ACL: u32 = 826;
const PG_EVENT_TRIGGER: u32 = 3466;

/// A table that inherits from others, or others from it; partitions and partitioned tables among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relative {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// It is partitioned, and has no rows of its own: its indexes are made in an instant.
    pub partitioned: bool,
}

/// The new database's tables that inherit or are inherited from.
pub async fn relatives(session: &Session) -> Result<Vec<Relative>, EngineError> {
    const RELATIVES: &str = "
SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
       c.relkind = 'p'
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'p' OR c.relkind IN ('r', 'f') AND EXISTS (
       SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))";
    let failed = |e| EngineError::query("looking for partitions and children of tables", e);
    let rows = session.query(RELATIVES, &[]).await.map_err(failed)?;
    rows.iter()
        .map(|row| Ok(Relative { schema: row.try_get(0)?, name: row.try_get(1)?, partitioned: row.try_get(2)? }))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Lists of entries, each in the archive's order, to be restored one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// By one connection: indexes and keys of partitioned tables, which are empty until others are attached to them.
    pub parents: String,
    /// By several connections: what is attached to them, which is what takes long.
    pub together: String,
    /// By one connection: the attaching, and what else locks a parent or a partition.
    pub in_order: String,
    /// By several connections again, all the rest. Foreign keys are among it: they find every key, and of two that lock a table
    /// each, neither waits for what the other has, because `pg_restore` runs no two that name the same table, and the server
    /// locks partitions after the tables that are named.
    pub rest: String,
}

#[derive(Debug)]
struct Entry<'a> {
    line: &'a str,
    catalog: u32,
    /// Kind, schema, name and owner.
    text: &'a str,
    depends_on: Vec<u32>,
}

impl Entry<'_> {
    /// An index, or a key with an index of its own: nothing else takes long on a partition.
    fn is_built(&self) -> bool {
        (self.catalog == PG_CLASS && self.text.starts_with("INDEX "))
            || (self.catalog == PG_CONSTRAINT && self.text.starts_with("CONSTRAINT "))
    }
}

/// Foreign keys, and what `pg_restore` itself leaves until everything else is there.
fn comes_last(entry: &Entry<'_>) -> bool {
    [PG_DEFAULT_ACL, PG_EVENT_TRIGGER].contains(&entry.catalog)
        || (entry.catalog == PG_CONSTRAINT && entry.text.starts_with("FK CONSTRAINT "))
        || entry.text.starts_with("ACL ")
        || entry.text.starts_with("MATERIALIZED VIEW DATA ")
}

/// By entry number. `contents` is the whole table of contents as `pg_restore --list --verbose` prints it.
fn parse(contents: &str) -> BTreeMap<u32, Entry<'_>> {
    let mut entries = BTreeMap::new();
    let mut number = 0;
    for line in contents.lines() {
        if let Some((_, numbers)) = line.strip_prefix(';').and_then(|rest| rest.split_once("depends on:")) {
            let depends_on = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            entries.entry(number).and_modify(|entry: &mut Entry<'_>| entry.depends_on = depends_on);
        } else if let Some((own, catalog, text)) = entry(line) {
            number = own;
            entries.insert(own, Entry { line, catalog, text, depends_on: Vec::new() });
        }
    }
    entries
}

/// `217; 1259 16385 TABLE public contacts acme`: number, catalog, text.
fn entry(line: &str) -> Option<(u32, u32, &str)> {
    let (number, rest) = line.split_once("; ")?;
    let mut parts = rest.splitn(3, ' ');
    let catalog = parts.next()?.parse().ok()?;
    parts.next()?;
    Some((number.parse().ok()?, catalog, parts.next()?))
}

/// Divides the last section, whose entries `section` lists; `None` where all of it may be built together.
pub fn divide(contents: &str, section: &str, relatives: &[Relative]) -> Option<Parts> {
    let entries = parse(contents);
    let section: Vec<u32> = section.lines().filter_map(|line| entry(line).map(|(number, ..)| number)).collect();
    // A name may begin as another one does: the worst of it is that more is done in order.
    let is_of = |text: &str, of: &Relative| {
        ["TABLE", "FOREIGN TABLE"].iter().any(|kind| text.starts_with(&format!("{kind} {} {} ", of.schema, of.name)))
    };
    let tables = |partitioned_only: bool| -> BTreeSet<u32> {
        let wanted = |entry: &Entry<'_>| {
            entry.catalog == PG_CLASS
                && relatives.iter().any(|of| (of.partitioned || !partitioned_only) && is_of(entry.text, of))
        };
        entries.iter().filter(|(_, entry)| wanted(entry)).map(|(number, _)| *number).collect()
    };
    let (parents, related) = (tables(true), tables(false));
    let of_any = |entry: &Entry<'_>, some: &BTreeSet<u32>| entry.depends_on.iter().any(|on| some.contains(on));
    let must_be_serial =
        |entry: &Entry<'_>| entry.text.starts_with("INDEX ATTACH ") || (!entry.is_built() && of_any(entry, &related));
    let last = with_dependents(&entries, &section, comes_last);
    let mut in_order = with_dependents(&entries, &section, must_be_serial);
    in_order.retain(|number| !last.contains(number));
    let built = |number: &u32| entries.get(number).is_some_and(|entry| entry.is_built() && of_any(entry, &parents));
    let of_parents: BTreeSet<u32> =
        section.iter().filter(|number| built(number) && !in_order.contains(*number)).copied().collect();
    if in_order.is_empty() && of_parents.is_empty() {
        return None;
    }
    let first = with_needs(&entries, &section, &of_parents);
    let needed = with_needs(&entries, &section, &in_order);
    let mut parts = Parts::default();
    for number in &section {
        let part = if in_order.contains(number) {
            &mut parts.in_order
        } else if first.contains(number) {
            &mut parts.parents
        } else if needed.contains(number) {
            &mut parts.together
        } else {
            &mut parts.rest
        };
        part.extend(entries.get(number).map_or("", |entry| entry.line).chars().chain(['\n']));
    }
    Some(parts)
}

/// The section's entries that `chosen` picks, and all that depend on them. An entry stands behind what it depends on.
fn with_dependents(
    entries: &BTreeMap<u32, Entry<'_>>,
    section: &[u32],
    chosen: impl Fn(&Entry<'_>) -> bool,
) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for number in section {
        let Some(entry) = entries.get(number) else { continue };
        if chosen(entry) || entry.depends_on.iter().any(|on| found.contains(on)) {
            found.insert(*number);
        }
    }
    found
}

/// What `chosen` depend on, and they themselves.
fn with_needs(entries: &BTreeMap<u32, Entry<'_>>, section: &[u32], chosen: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut found = chosen.clone();
    for number in section.iter().rev() {
        if let Some(entry) = entries.get(number).filter(|_| found.contains(number)) {
            found.extend(&entry.depends_on);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partitioned table with one partition, a plain one that refers to it, a materialised view over both.
    const CONTENTS: &str = ";
; Selected TOC Entries:
;
10; 1259 100 TABLE public sold acme
11; 1259 101 TABLE public sold_1 acme
;\tdepends on: 3
12; 0 0 TABLE ATTACH public sold_1 acme
;\tdepends on: 11 10
13; 1259 102 TABLE public plain acme
14; 1259 103 MATERIALIZED VIEW public m acme
;\tdepends on: 10
20; 2606 200 CONSTRAINT public sold sold_pkey acme
;\tdepends on: 10
21; 2606 201 CONSTRAINT public sold_1 sold_1_pkey acme
;\tdepends on: 11 20
22; 1259 202 INDEX public plain_i acme
;\tdepends on: 13
23; 0 0 INDEX ATTACH public sold_1_pkey acme
;\tdepends on: 20 21
24; 2606 204 FK CONSTRAINT public plain to_sold acme
;\tdepends on: 13 20 23
25; 2606 205 FK CONSTRAINT public plain to_plain acme
;\tdepends on: 13
26; 2620 206 TRIGGER public sold_1 t acme
;\tdepends on: 11
27; 0 0 COMMENT public INDEX sold_pkey acme
;\tdepends on: 20
28; 0 103 MATERIALIZED VIEW DATA public m acme
;\tdepends on: 14
29; 1259 207 INDEX public m_i acme
;\tdepends on: 14 28
30; 826 208 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES acme
31; 3466 209 EVENT TRIGGER - e acme
";

    fn section() -> String {
        CONTENTS
            .lines()
            .filter(|line| entry(line).is_some_and(|(number, ..)| number >= 20))
            .flat_map(|l| [l, "\n"])
            .collect()
    }

    fn numbers(list: &str) -> Vec<u32> {
        list.lines().map(|line| entry(line).unwrap().0).collect()
    }

    fn relative(name: &str, partitioned: bool) -> Relative {
        Relative { schema: "public".to_owned(), name: name.to_owned(), partitioned }
    }

    #[test]
    fn what_depends_on_partitions_is_in_order_and_what_takes_long_is_not() {
        let parts = divide(CONTENTS, &section(), &[relative("sold", true), relative("sold_1", false)]).unwrap();
        assert_eq!(numbers(&parts.parents), [20]);
        assert_eq!(numbers(&parts.together), [21]);
        assert_eq!(numbers(&parts.in_order), [23, 26]);
        assert_eq!(numbers(&parts.rest), [22, 24, 25, 27, 28, 29, 30, 31]);
    }

    #[test]
    fn nothing_is_divided_where_no_table_inherits() {
        let plain: String = CONTENTS.lines().filter(|line| !line.contains("ATTACH")).flat_map(|l| [l, "\n"]).collect();
        assert_eq!(divide(&plain, &section(), &[]), None);
        assert_eq!(divide("", "", &[relative("sold", true)]), None);
    }

    #[test]
    fn every_entry_of_the_section_is_in_exactly_one_part() {
        let parts = divide(CONTENTS, &section(), &[relative("plain", true)]).unwrap();
        assert_eq!((numbers(&parts.parents), numbers(&parts.in_order)), (vec![22], vec![23]));
        let lists = [&parts.parents, &parts.together, &parts.in_order, &parts.rest];
        let mut all = lists.map(|list| numbers(list)).concat();
        all.sort_unstable();
        assert_eq!(all, (20..=31).collect::<Vec<_>>());
    }
}
