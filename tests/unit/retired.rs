//! Names that were given up stay away: docs/contribute/renames.md lists them, and this file looks for them in the product,
//! the CRDs, the chart, the plain manifests and the help of both binaries. Prose is not looked at, but for names in it.

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{binary, file, repository};

const PAGE: &str = "docs/contribute/renames.md";

/// Rows of the page, at least. Fewer were read wrongly, and the tests below would look for nothing.
const FEWEST: usize = 150;

/// What the page says of some old names.
#[derive(Debug, Clone, PartialEq)]
struct Rename {
    /// The heading that it stands under.
    section: String,
    old: Vec<String>,
    new: Vec<String>,
    /// What the name stands for as well: then it is not looked for, or not in the files that this names.
    still_used: String,
}

impl Rename {
    /// Whether a file may have the names: any, or those that the last column names.
    fn spares(&self, name: &str) -> bool {
        let files: Vec<String> = names(&self.still_used).into_iter().filter(|file| is_rust(file)).collect();
        !self.still_used.is_empty() && (files.is_empty() || files.iter().any(|file| file == name))
    }
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

/// The names that a cell shows as code; `A::{B, C}` is B and C.
fn names(cell: &str) -> Vec<String> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans
        .flat_map(|span| match span.split_once("::{") {
            Some((_, variants)) => {
                variants.trim_end_matches('}').split(',').map(|name| name.trim().to_owned()).collect()
            }
            None => vec![span.to_owned()],
        })
        .collect()
}

/// The rows of all tables that have a column `old`.
fn renames(page: &str) -> Vec<Rename> {
    let (mut found, mut head, mut section) = (vec![], None::<Vec<&str>>, "");
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let Some(row) = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|')) else {
            head = None;
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Some(head) = &head else {
            head = Some(cells);
            continue;
        };
        let cell = |name: &str| head.iter().position(|title| *title == name).and_then(|at| cells.get(at)).copied();
        if let (Some(old), Some(new)) = (cell("old"), cell("new"))
            && !old.starts_with("---")
        {
            let still_used = cell("still used for").unwrap_or_default().to_owned();
            found.push(Rename { section: section.to_owned(), old: names(old), new: names(new), still_used });
        }
    }
    found
}

fn page() -> Vec<Rename> {
    let rows = renames(&file(PAGE));
    assert!(rows.len() > FEWEST, "{PAGE}: only {} rows were read", rows.len());
    rows
}

/// Whether it is one plain word, which sentences have as well: `Row`, `clear`.
fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(char::is_alphabetic) && letters.all(|letter| letter.is_ascii_lowercase())
}

/// `keptDatabase` and `KeptDatabase` as Rust writes a field or a module.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// What is looked for.
#[derive(Debug, Default)]
struct Retired {
    /// Types that are one plain word. Others' types and variants may be called so, a type of our own may not.
    types: BTreeSet<String>,
    /// Verbs, fields and reasons that are one plain word: no identifier, no string, no key, no subcommand.
    plain: BTreeSet<String>,
    /// Names that no sentence has: nowhere at all.
    compound: BTreeSet<String>,
}

impl Retired {
    /// What a file of this name must not have.
    ///
    /// Of `status.result.keptDatabase` the last; of paths, and of commands with a space, nothing: they have tests of their own.
    fn of(page: &[Rename], file: &str) -> Self {
        let mut all = Self::default();
        for row in page.iter().filter(|row| !row.spares(file)) {
            for name in &row.old {
                let is_field = is_field(name);
                if name.contains(' ')
                    || (name.contains('/') && !name.starts_with("sennight.dev/"))
                    || name == "build.rs"
                {
                    continue;
                }
                let name = if is_field { name.rsplit('.').next().unwrap_or(name) } else { name };
                if !is_plain(name) {
                    if name.chars().all(char::is_alphanumeric) {
                        all.compound.insert(snake(name));
                    }
                    all.compound.insert(name.to_owned());
                } else if row.section == "Types" {
                    all.types.insert(name.to_owned());
                } else if !is_field {
                    all.plain.insert(name.to_owned());
                }
            }
        }
        all
    }
}

/// A field of the API, by its path. One of a plain word is looked for in the CRDs only.
fn is_field(name: &str) -> bool {
    name.starts_with("status.") || name.starts_with("spec.")
}

/// The words of a text: by the letters of identifiers, and by those of labels and flags.
fn words(text: &str) -> BTreeSet<&str> {
    let identifier = |letter: char| !(letter.is_alphanumeric() || letter == '_');
    let label = |letter: char| identifier(letter) && !matches!(letter, '-' | '.' | '/');
    let labels = text.split(label).map(|word| word.trim_end_matches(['.', '/', '-']));
    text.split(identifier).chain(labels).filter(|word| !word.is_empty()).collect()
}

/// What Rust code names: identifiers, and strings that are one word. Comments and calls of methods are not among them.
#[derive(Default)]
struct Code {
    names: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Code {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| tokens[at].to_string()).unwrap_or_default();
            match token {
                TokenTree::Group(group) => self.read(group.stream()),
                // `rows.clear()` is the standard library's.
                TokenTree::Ident(_) if before == "." && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) => {}
                TokenTree::Ident(name) => {
                    if matches!(before.as_str(), "struct" | "enum" | "trait" | "type" | "union") {
                        self.types.insert(name.to_string());
                    }
                    self.names.insert(name.to_string());
                }
                TokenTree::Literal(literal) => {
                    self.names.insert(literal.to_string().trim_matches('"').to_owned());
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
}

/// The keys of YAML, of a chart's template as well.
fn keys(text: &str) -> BTreeSet<String> {
    let key = |line: &str| Some(line.trim_start().trim_start_matches("- ").split_once(':')?.0.trim().to_owned());
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(key).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().display().to_string()
}

/// The retired names in a text that is called `name`, a line each.
fn faults(name: &str, text: &str, page: &[Rename]) -> Vec<String> {
    let retired = Retired::of(page, name);
    let mut code = Code::default();
    if is_rust(name) {
        code.read(text.parse().unwrap_or_else(|fault| panic!("{name}: {fault}")));
    } else if name.ends_with("help") {
        // Subcommands are the first words of lines.
        code.names.extend(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned));
    } else {
        code.names = keys(text);
    }
    let all = words(text);
    let found = retired.types.intersection(&code.types).chain(retired.plain.intersection(&code.names));
    let found = found.chain(retired.compound.iter().filter(|word| all.contains(word.as_str())));
    found.map(|word| format!("{name}: {word}")).collect()
}

fn help(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The help of a binary and of each of its subcommands.
fn helps(program: &str) -> Vec<(String, String)> {
    let path = binary(program);
    let top = help(&path, &[]);
    let list = top.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = list.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands = commands.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help");
    let mut all: Vec<_> = commands.map(|name| (format!("{program} {name} --help"), help(&path, &[name]))).collect();
    assert!(all.len() > 5, "{program}: {top}");
    all.push((format!("{program} --help"), top));
    all
}

#[test]
fn no_retired_name_is_in_the_product() {
    let page = page();
    let mut found = vec![];
    for dir in ["src", "crds", "charts", "config"] {
        let texts = files(&repository().join(dir)).into_iter().filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some((shown(&path), text))
        });
        found.extend(texts.flat_map(|(name, text)| faults(&name, &text, &page)));
    }
    for program in ["sennight", "kubectl-sennight"] {
        found.extend(helps(program).iter().flat_map(|(name, text)| faults(name, text, &page)));
    }
    let list = found.join("\n");
    assert!(found.is_empty(), "{list}\n{} retired names; {PAGE} says what they are called now", found.len());
}

#[test]
fn the_old_fields_are_in_no_crd() {
    let mut kinds = BTreeMap::new();
    for path in files(&repository().join("crds")) {
        for document in crate::chart::documents(&std::fs::read_to_string(path).unwrap()) {
            if document["kind"] == "CustomResourceDefinition" {
                let schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
                kinds.insert(document["spec"]["names"]["kind"].as_str().unwrap().to_owned(), schema);
            }
        }
    }
    assert_eq!(kinds.len(), 5, "{:?}", kinds.keys());
    let has = |name: &str| {
        let mut steps = name.split('.');
        kinds.values().any(|schema| {
            steps
                .clone()
                .try_fold(schema, |at: &Value, step| {
                    let properties =
                        if at["items"].is_object() { &at["items"]["properties"] } else { &at["properties"] };
                    properties.get(step)
                })
                .is_some()
        }) && steps.next().is_some()
    };
    for row in page() {
        for name in row.old.iter().filter(|name| is_field(name)) {
            assert!(!has(name), "{name} is in a CRD again; {PAGE} says what it is called now");
        }
        for name in row.new.iter().filter(|name| is_field(name)) {
            assert!(has(name), "{PAGE} says {name}, and no CRD has it");
        }
    }
}

#[test]
fn the_old_files_are_gone_and_the_new_ones_are_there() {
    let root = repository();
    // Files and folders of the product, by name alone.
    let mut modules = BTreeMap::<String, Vec<String>>::new();
    for path in files(&root.join("src")) {
        for part in &path.strip_prefix(root).unwrap().with_extension("") {
            modules.entry(part.to_string_lossy().into_owned()).or_default().push(shown(&path));
        }
    }
    let is_path = |name: &&String| name.starts_with("src/") || name.starts_with("tests/") || *name == "build.rs";
    let stem = |name: &str| Path::new(name).file_stem().unwrap().to_string_lossy().into_owned();
    let mut found = vec![];
    for row in page() {
        let stays: BTreeSet<String> = row.new.iter().filter(is_path).map(|name| stem(name)).collect();
        let missing = row.new.iter().filter(is_path).filter(|name| !root.join(name).exists());
        found.extend(missing.map(|name| format!("{name} is not there, which is said to be new")));
        let back = row.old.iter().filter(is_path).filter(|name| root.join(name).exists());
        found.extend(back.map(|name| format!("{name} is back")));
        for name in row.old.iter().filter(|name| name.starts_with("src/") && !stays.contains(&stem(name))) {
            let again = modules.get(&stem(name)).into_iter().flatten().filter(|file| !row.spares(file));
            found.extend(again.map(|file| format!("{file} is called as {name} was")));
        }
    }
    let list = found.join("\n");
    assert!(found.is_empty(), "{list}\n{PAGE} says what they are called now");
}

#[test]
fn the_old_targets_are_gone_and_the_new_ones_are_there() {
    let (makefile, manifest) = (file("Makefile"), file("tests/Cargo.toml"));
    let is_there = |name: &str| match name.split_once(' ') {
        Some(("make", target)) => makefile.lines().any(|line| line.starts_with(&format!("{target}:"))),
        Some(("--test", target)) => manifest.contains(&format!("name = \"{target}\"")),
        _ => panic!("{name}"),
    };
    let is_target = |name: &&String| name.starts_with("make ") || name.starts_with("--test ");
    let rows = page();
    assert!(rows.iter().flat_map(|row| &row.old).any(|name| is_target(&name)));
    for row in rows {
        for name in row.old.iter().filter(is_target) {
            assert!(!is_there(name), "{name} is back; {PAGE} says what it is called now");
        }
        for name in row.new.iter().filter(is_target) {
            assert!(is_there(name), "{PAGE} says {name}, which is not there");
        }
    }
}

#[test]
fn a_planted_name_is_found_and_a_sentence_is_not() {
    let text = "## Types\n| of | old | new | still used for |\n|---|---|---|---|\n| x | `Row`, `keptOid` | `drop` | `b.rs` |\n\
        ## B\n| old | new |\n|---|---|\n| `clear`, `sennight.dev/lane`, `--batch-linger` | x |\n\n\
        | old | new | still used for |\n|---|---|---|\n| `A::{Safety, Doomed}` | `B` | a folder |\n\n\
        | words | now |\n|---|---|\n| `backup` | x |\n";
    let rows = renames(text);
    assert_eq!(rows.iter().map(|row| row.section.as_str()).collect::<Vec<_>>(), ["Types", "B", "B"]);
    assert_eq!(rows.iter().map(|row| row.still_used.as_str()).collect::<Vec<_>>(), ["`b.rs`", "", "a folder"]);
    assert_eq!(
        (&rows[0].new[..], &rows[2].old[..]),
        (&["drop".to_owned()][..], &["Safety".to_owned(), "Doomed".to_owned()][..])
    );

    let found = |name: &str, text: &str| faults(name, text, &rows);
    let fine = "/// Row by row it is clear.\nfn rows(a: mysql_async::Row) { let clearing = \"clear it\"; a.clear(); }";
    assert_eq!(found("a.rs", fine), [""; 0]);
    assert_eq!(found("a.rs", "struct Row;"), ["a.rs: Row"]);
    assert_eq!(found("b.rs", "struct Row; struct Safety;"), [""; 0]);
    assert_eq!(found("a.rs", "const VERB: &str = \"clear\";"), ["a.rs: clear"]);
    assert_eq!(found("a.rs", "mod a { fn clear() {} }"), ["a.rs: clear"]);
    assert_eq!(found("a.rs", "/// As `kept_oid` says.\nfn a() {}"), ["a.rs: kept_oid"]);
    assert_eq!(found("a.rs", "const A: &str = \"sennight.dev/lane\";"), ["a.rs: sennight.dev/lane"]);
    assert_eq!(found("a.yaml", "clear: 1\n# Row: no\nb: the keptOid."), ["a.yaml: clear", "a.yaml: keptOid"]);
    let help = found("a --help", "  clear  Drops it\n  b  to clear\n  --batch-linger <X>");
    assert_eq!(help, ["a --help: clear", "a --help: --batch-linger"]);
}
