//! No cycle of modules. A module and everything below it count as one: on each level of the tree, the children of one
//! module must not need each other in a circle. A parent that uses its child, or a child its parent, is no cycle.

use crate::modules::{Crate, Edge, Files};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The children of one module: who uses whom, and one place where.
type Level = BTreeMap<String, BTreeMap<String, String>>;

/// Each level that has edges, by the path of the parent.
fn levels(edges: BTreeSet<Edge>) -> BTreeMap<Vec<String>, Level> {
    let mut levels: BTreeMap<Vec<String>, Level> = BTreeMap::new();
    for Edge { from, to, place } in edges {
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if let (Some(user), Some(used)) = (from.get(shared), to.get(shared)) {
            let level = levels.entry(from[..shared].to_vec()).or_default();
            level.entry(user.clone()).or_default().entry(used.clone()).or_insert(place);
        }
    }
    levels
}

/// A shortest way from `start` back to it.
fn circle(level: &Level, start: &String) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for used in level.get(module).into_iter().flat_map(BTreeMap::keys) {
            if came_from.contains_key(used) {
                continue;
            }
            came_from.insert(used, module);
            if used == start {
                let mut way = vec![module.clone()];
                while way.last() != Some(start) {
                    way.push(came_from[&way[way.len() - 1]].clone());
                }
                way.reverse();
                return Some(way);
            }
            queue.push_back(used);
        }
    }
    None
}

/// The cycles of a crate, a shortest one for each module that is in any: `a -> b (src/a.rs:3) -> a (src/b.rs:9)`.
pub fn cycles(files: &Files) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (parent, level) in levels(Crate::read(files).edges()) {
        for mut way in level.keys().filter_map(|start| circle(&level, start)) {
            // Every module of a circle finds it: it begins with the first in the alphabet.
            let first = (0..way.len()).min_by_key(|i| &way[*i]).unwrap();
            way.rotate_left(first);
            way.push(way[0].clone());
            let name = |module: &String| [&parent[..], std::slice::from_ref(module)].concat().join("::");
            let steps = way.windows(2).map(|step| format!("{} ({})", name(&step[1]), level[&step[0]][&step[1]]));
            found.insert([name(&way[0])].into_iter().chain(steps).collect::<Vec<_>>().join(" -> "));
        }
    }
    found
}

/// A crate of which each file is given as `(path, text)`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    cycles(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()).into_iter().collect()
}

#[test]
fn a_cycle_by_use_is_found() {
    let a = "use crate::{b::{self as other, B}};\npub struct A;";
    let b = "pub struct B;\nuse super::a;\npub fn f(_: a::A) {}";
    let cycle = ["a -> b (src/a.rs:1) -> a (src/b.rs:2)"];
    assert_eq!(found(&[("src/lib.rs", "mod a; mod b;"), ("src/a.rs", a), ("src/b.rs", b)]), cycle);
}

#[test]
fn a_cycle_of_three_by_paths_in_code_macros_and_attributes_is_found() {
    let a = "pub fn f() {\n crate::b::f();\n}";
    let b = "pub fn f() {\n println!(\"{}\", 1 + super::c::f(2));\n}";
    let c = "struct C {\n #[schemars(schema_with = \"super::a::f\")]\n f: u8 }\npub fn f(x: u8) -> u8 { x }";
    let cycle = ["a -> b (src/a.rs:2) -> c (src/b.rs:2) -> a (src/c.rs:2)"];
    let lib = ("src/lib.rs", "mod a; mod b; mod c;");
    assert_eq!(found(&[lib, ("src/a.rs", a), ("src/b.rs", b), ("src/c.rs", c)]), cycle);
}

#[test]
fn a_cycle_through_a_re_export_is_found() {
    let lib = "mod a; mod b; pub use b::inner::B;";
    let inner = "pub struct B;\nuse crate::a::*;\npub fn f() -> A { A }";
    let a = "use crate::B;\npub struct A;";
    let files = [("src/lib.rs", lib), ("src/a.rs", a), ("src/b/mod.rs", "pub mod inner;"), ("src/b/inner.rs", inner)];
    assert_eq!(found(&files), ["a -> b (src/a.rs:1) -> a (src/b/inner.rs:2)"]);
}

#[test]
fn a_cycle_below_the_first_level_is_found() {
    let lib = "mod top { mod a { use super::b::B; pub struct A; } mod b { pub struct B(super::a::A); } }";
    assert_eq!(found(&[("src/lib.rs", lib)]), ["top::a -> top::b (src/lib.rs:1) -> top::a (src/lib.rs:1)"]);
}

#[test]
fn parents_children_tests_and_other_crates_make_no_cycle() {
    let lib = "mod a; mod b; pub struct Root; fn f() { a::f(); }";
    let a = "mod child; pub use child::Part; use crate::Root; pub fn f() { child::f(); }";
    let child = "pub struct Part; pub fn f() { super::f(); }";
    let b = "use crate::a::Part; use a::b; use std::fmt::Debug; #[cfg(test)] fn t() {}";
    let test = "#[cfg(test)] mod tests { use crate::b::B; } #[cfg(test)] use crate::b::B; #[cfg(test)] fn t() { crate::b::f() }";
    let a = format!("{a} {test}");
    assert_eq!(
        found(&[("src/lib.rs", lib), ("src/a.rs", &a), ("src/a/child.rs", child), ("src/b.rs", b)]),
        Vec::<String>::new()
    );
}
