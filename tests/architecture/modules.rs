//! The modules of one crate, and who uses what another module defines. Rust's own grammar by `syn`; unit tests are left out.
//!
//! A name counts for the module that *defines* it: `pub use` and aliases are followed to their end. Paths are read in code,
//! in types, in macros' arguments and in attributes' strings (`schema_with = "super::time"`). A name that cannot be found
//! (a macro made it) counts for the module in which it was looked for. A method that is called on a value names no module.

use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, UseTree};

/// Aliases that lead in a circle end here.
const DEEPEST: usize = 16;

/// The text of each file of a crate, by its path below the crate's folder: `src/lib.rs`.
pub type Files = BTreeMap<String, String>;

/// One use of a name, as it was found.
struct Reference {
    path: Vec<String>,
    line: usize,
}

/// A `use` of one name, or of all names if `name` is none.
struct Import {
    name: Option<String>,
    path: Vec<String>,
}

/// One module, and what was read in it.
#[derive(Default)]
struct Module {
    file: String,
    /// Names of items that are defined here.
    items: BTreeSet<String>,
    imports: Vec<Import>,
    references: Vec<Reference>,
}

/// That a module uses another. `from` and `to` are paths from the crate's root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who uses.
    pub from: Vec<String>,
    /// Who defines.
    pub to: Vec<String>,
    /// `src/a.rs:12`
    pub place: String,
}

/// The modules of a crate by their path from its root, which is empty.
#[derive(Default)]
pub struct Crate(BTreeMap<Vec<String>, Module>);

impl Crate {
    /// Reads a crate from `src/lib.rs` on.
    pub fn read(files: &Files) -> Self {
        let mut all = Self::default();
        all.read_file(files, &[], "src/lib.rs");
        all
    }

    fn read_file(&mut self, files: &Files, path: &[String], file: &str) {
        let parsed = syn::parse_file(&files[file]).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.read_items(files, path, file, &parsed.items);
    }

    fn read_items(&mut self, files: &Files, path: &[String], file: &str, items: &[Item]) {
        let mut reader = Reader { module: Module { file: file.to_owned(), ..Module::default() } };
        for item in items {
            reader.visit_item(item);
            reader.module.items.extend(head(item).0.map(ToString::to_string));
        }
        self.0.insert(path.to_owned(), reader.module);
        for module in items.iter().filter_map(|item| match item {
            Item::Mod(module) if !is_test(&module.attrs) => Some(module),
            _ => None,
        }) {
            let below: Vec<String> = path.iter().cloned().chain([module.ident.to_string()]).collect();
            if let Some((_, items)) = &module.content {
                self.read_items(files, &below, file, items);
            } else {
                let stem = format!("src/{}", below.join("/"));
                let file = [format!("{stem}.rs"), format!("{stem}/mod.rs")].into_iter().find(|f| files.contains_key(f));
                self.read_file(files, &below, &file.unwrap_or_else(|| panic!("no file of module {stem}")));
            }
        }
    }

    /// Each use of one module by another.
    pub fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (from, module) in &self.0 {
            for reference in &module.references {
                if let Some(to) = self.definer(from, &reference.path, 0).filter(|to| to != from) {
                    let place = format!("{}:{}", module.file, reference.line);
                    edges.insert(Edge { from: from.clone(), to, place });
                }
            }
        }
        edges
    }

    /// The module that defines what `path` means in module `here`; none if that is another crate's or a local name.
    fn definer(&self, here: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(vec![], rest, depth),
            "self" => self.walk(here.to_vec(), rest, depth),
            "super" => self.walk(here.split_last()?.1.to_vec(), rest, depth),
            _ => self.lookup(here, path, depth),
        }
    }

    /// Like [`Self::lookup`], for what stands behind the path of a module: a name that is not found was made by a
    /// macro or comes from another crate.
    fn walk(&self, module: Vec<String>, rest: &[String], depth: usize) -> Option<Vec<String>> {
        match rest.split_first() {
            None => Some(module),
            Some((first, rest)) if first == "super" => self.walk(module.split_last()?.1.to_vec(), rest, depth),
            Some(_) => Some(self.lookup(&module, rest, depth).unwrap_or(module)),
        }
    }

    /// Looks for the first name of `path` among the module's children, items and imports, in this order.
    fn lookup(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let child: Vec<String> = module.iter().cloned().chain([first.clone()]).collect();
        if self.0.contains_key(&child) {
            return self.walk(child, rest, depth);
        }
        let here = &self.0[module];
        if here.items.contains(first) {
            return Some(module.to_vec());
        }
        if depth == DEEPEST {
            return None;
        }
        let (named, globs): (Vec<_>, Vec<_>) = here
            .imports
            .iter()
            .filter(|i| i.name.as_ref().is_none_or(|name| name == first))
            .partition(|i| i.name.is_some());
        if let Some(import) = named.first() {
            // `use serde; … serde::Value` would ask itself for ever: another crate's name leads nowhere.
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            return if import.path.first() == Some(first) { None } else { self.definer(module, &whole, depth + 1) };
        }
        globs.iter().find_map(|import| {
            let other = self.definer(module, &import.path, depth + 1)?;
            if other == module { None } else { self.lookup(&other, path, depth + 1) }
        })
    }
}

/// An item's name and attributes.
fn head(item: &Item) -> (Option<&syn::Ident>, &[Attribute]) {
    match item {
        Item::Const(item) => (Some(&item.ident), &item.attrs),
        Item::Enum(item) => (Some(&item.ident), &item.attrs),
        Item::Fn(item) => (Some(&item.sig.ident), &item.attrs),
        Item::Impl(item) => (None, &item.attrs),
        Item::Macro(item) => (item.ident.as_ref(), &item.attrs),
        Item::Static(item) => (Some(&item.ident), &item.attrs),
        Item::Struct(item) => (Some(&item.ident), &item.attrs),
        Item::Trait(item) => (Some(&item.ident), &item.attrs),
        Item::Type(item) => (Some(&item.ident), &item.attrs),
        Item::Use(item) => (None, &item.attrs),
        _ => (None, &[]),
    }
}

/// `#[cfg(test)]`, also within `all(…)`.
fn is_test(attributes: &[Attribute]) -> bool {
    let words = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
        _ => String::new(),
    };
    attributes.iter().map(words).any(|cfg| cfg == "test" || (cfg.starts_with("all") && cfg.contains("test")))
}

/// Reads one module's code. Modules within it have readers of their own.
struct Reader {
    module: Module,
}

impl Reader {
    fn refer(&mut self, path: Vec<String>, span: Span) {
        self.module.references.push(Reference { path, line: span.start().line });
    }

    fn read_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| -> Vec<String> { before.iter().cloned().chain([name.to_string()]).collect() };
        let (alias, path, span) = match tree {
            UseTree::Path(tree) => return self.read_use(&tree.tree, &with(&tree.ident)),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.read_use(tree, before)),
            UseTree::Glob(glob) => (None, before.to_vec(), glob.star_token.spans[0]),
            UseTree::Name(name) if name.ident == "self" => (before.last().cloned(), before.to_vec(), name.ident.span()),
            UseTree::Name(name) => (Some(name.ident.to_string()), with(&name.ident), name.ident.span()),
            UseTree::Rename(name) if name.ident == "self" => {
                (Some(name.rename.to_string()), before.to_vec(), name.ident.span())
            }
            UseTree::Rename(name) => (Some(name.rename.to_string()), with(&name.ident), name.ident.span()),
        };
        self.refer(path.clone(), span);
        self.module.imports.push(Import { name: alias, path });
    }

    /// Paths in a macro's arguments, which have no grammar, and in strings of attributes.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = vec![];
        let mut colons = 0;
        let mut at = Span::call_site();
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.refer(std::mem::take(&mut path), at);
                    (colons, at) = (0, other.span());
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.read_tokens(group.stream()),
                        TokenTree::Literal(literal) => self.read_string(&literal),
                        TokenTree::Punct(_) => {}
                    }
                }
            }
        }
        self.refer(path, at);
    }

    fn read_string(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let path = text.trim_matches('"').split("::").map(str::to_owned).collect::<Vec<_>>();
        if matches!(path[0].as_str(), "crate" | "self" | "super") {
            self.refer(path, literal.span());
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !matches!(item, Item::Mod(_)) && !is_test(head(item).1) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.read_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            self.refer(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.read_tokens(mac.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.read_tokens(list.tokens.clone());
    }
}
