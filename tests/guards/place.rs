//! The code that a mark is about, found in the parsed file, and the file without that guard. The mark is about what begins on the
//! next line of code: a function, a statement, an arm of a match, or a field of a struct.

use crate::mark::{Mark, Mutation};
use std::collections::HashSet;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, Block, Expr, FieldValue, ImplItemFn, ItemFn, Pat, Stmt};

/// Words that an expression of a mark may have beside those of its file.
const PRELUDE: [&str; 8] = ["Some", "None", "Ok", "Err", "true", "false", "String", "return"];

enum Place<'a> {
    Function(&'a Block),
    Statement(&'a Stmt),
    Arm(&'a Arm),
    Field(&'a FieldValue),
}

/// What is written instead of a piece of the file.
type Edit = (Range<usize>, String);

/// The file without the guard, or why it cannot be taken away.
pub fn without(text: &str, mark: &Mark) -> Result<String, String> {
    let fault = |why: String| format!("{}:{}: guard {:?}: {why}", mark.file.display(), mark.line, mark.what);
    let file = syn::parse_file(text).map_err(|error| fault(error.to_string()))?;
    let mut finder = Finder { start: next_code(text, mark.end), found: None };
    finder.visit_file(&file);
    let place = finder.found.ok_or_else(|| {
        fault(
            "no function, statement, arm or field begins on the next line of code (inside a macro none is found)"
                .into(),
        )
    })?;
    if let Mutation::Value(value) = &mark.mutation {
        known_words(value, text).map_err(fault)?;
    }
    let (range, new) = edit(&place, &mark.mutation, text).map_err(fault)?;
    let mutant = format!("{}{new}{}", &text[..range.start], &text[range.end..]);
    syn::parse_file(&mutant).map_err(|error| fault(format!("without it the file is no Rust: {error}")))?;
    Ok(mutant)
}

/// Where the first code after a mark begins: comments and attributes of one line are passed over.
fn next_code(text: &str, mut from: usize) -> usize {
    for line in text[from..].split_inclusive('\n') {
        let code = line.trim_start();
        if !(code.is_empty() || code.starts_with("//") || code.starts_with("#[")) {
            return from + line.len() - code.len();
        }
        from += line.len();
    }
    from
}

struct Finder<'a> {
    start: usize,
    found: Option<Place<'a>>,
}

impl<'a> Finder<'a> {
    /// The outermost of what begins there is meant: it is visited first.
    fn look(&mut self, range: &Range<usize>, place: Place<'a>) {
        if range.start == self.start && self.found.is_none() {
            self.found = Some(place);
        }
    }
}

impl<'a> Visit<'a> for Finder<'a> {
    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.look(&head(&item.vis, &item.sig), Place::Function(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        self.look(&head(&item.vis, &item.sig), Place::Function(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        self.look(&bytes(stmt), Place::Statement(stmt));
        visit::visit_stmt(self, stmt);
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        self.look(&bytes(&arm.pat), Place::Arm(arm));
        visit::visit_arm(self, arm);
    }

    fn visit_field_value(&mut self, field: &'a FieldValue) {
        self.look(&bytes(&field.member), Place::Field(field));
        visit::visit_field_value(self, field);
    }
}

fn bytes(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

/// A function without its attributes and documentation.
fn head(vis: &syn::Visibility, sig: &syn::Signature) -> Range<usize> {
    match vis {
        syn::Visibility::Inherited => bytes(sig),
        vis => bytes(vis),
    }
}

/// A renaming reaches no comment: what the file does not know any more is told here, not by a compiler half an hour later.
fn known_words(value: &str, text: &str) -> Result<(), String> {
    let expr: Expr = syn::parse_str(value).map_err(|error| format!("`{value}` is no expression: {error}"))?;
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let known: HashSet<&str> = words(&code).collect();
    let source = expr.span().source_text().unwrap_or_else(|| value.to_owned());
    match words(&source).find(|word| !known.contains(word) && !PRELUDE.contains(word)) {
        Some(word) => Err(format!("`{word}` in its mutation stands nowhere else in this file: was it renamed?")),
        None => Ok(()),
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.starts_with(char::is_alphabetic))
}

fn edit(place: &Place<'_>, mutation: &Mutation, text: &str) -> Result<Edit, String> {
    let source = |range: &Range<usize>| &text[range.clone()];
    match mutation {
        Mutation::Never => match condition(place) {
            None => without_guard_clause(place),
            Some(Condition { range, binds: true }) => Ok((range.end..range.end, " && false".to_owned())),
            Some(Condition { range, .. }) => Ok((range.clone(), format!("(({}) && false)", source(&range)))),
        },
        Mutation::Always => match condition(place) {
            Some(Condition { range, binds: false }) => Ok((range.clone(), format!("(({}) || true)", source(&range)))),
            _ => Err("`always` needs a condition that binds nothing".to_owned()),
        },
        Mutation::None => {
            let range = bytes(optional(place).ok_or("`none` needs a value that is an Option")?);
            Ok((range.clone(), format!("({}).filter(|_| false)", source(&range))))
        }
        Mutation::Drop => match place {
            Place::Statement(stmt) => Ok((bytes(*stmt), String::new())),
            _ => Err("`drop` needs a statement".to_owned()),
        },
        Mutation::DropCall => match value(place) {
            Some(Expr::MethodCall(call)) => Ok((bytes(call), source(&bytes(&call.receiver)).to_owned())),
            _ => Err("`drop-call` needs a value that ends in a method call".to_owned()),
        },
        Mutation::Value(new) => match place {
            Place::Function(body) => Ok((bytes(*body), format!("{{ {new} }}"))),
            Place::Arm(Arm { body, comma: None, .. }) => Ok((bytes(body), format!("{new},"))),
            _ => Ok((bytes(value(place).ok_or("`= …` needs a value")?), new.clone())),
        },
    }
}

/// An arm without `if` never matches.
fn without_guard_clause(place: &Place<'_>) -> Result<Edit, String> {
    let Place::Arm(arm) = place else { return Err("`never` needs a condition".to_owned()) };
    let end = bytes(&arm.pat).end;
    Ok((end..end, " if false".to_owned()))
}

struct Condition {
    range: Range<usize>,
    /// `if let`: the names that it binds must stay.
    binds: bool,
}

fn condition(place: &Place<'_>) -> Option<Condition> {
    match place {
        Place::Arm(arm) => arm.guard.as_ref().map(|(_, guard)| condition_of(guard)),
        Place::Function(body) => condition(&Place::Statement(body.stmts.last()?)),
        _ => value(place).map(condition_of),
    }
}

/// The condition on which an expression turns; of a plain bool itself.
fn condition_of(expr: &Expr) -> Condition {
    match expr {
        Expr::If(branch) => condition_of_test(&branch.cond),
        Expr::While(repeat) => condition_of_test(&repeat.cond),
        Expr::MethodCall(call) if call.method == "then" || call.method == "then_some" => {
            condition_of_test(&call.receiver)
        }
        Expr::MethodCall(call) if ["filter", "is_some_and", "is_none_or"].iter().any(|name| call.method == name) => {
            match call.args.first() {
                Some(Expr::Closure(closure)) => condition_of_test(&closure.body),
                _ => condition_of_test(expr),
            }
        }
        _ => condition_of_test(expr),
    }
}

fn condition_of_test(test: &Expr) -> Condition {
    Condition { range: bytes(test), binds: has_let(test) }
}

fn has_let(test: &Expr) -> bool {
    match test {
        Expr::Let(_) => true,
        Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        _ => false,
    }
}

fn value<'a>(place: &Place<'a>) -> Option<&'a Expr> {
    match place {
        Place::Arm(arm) => Some(&arm.body),
        Place::Field(field) => Some(&field.expr),
        Place::Function(body) => value(&Place::Statement(body.stmts.last()?)),
        Place::Statement(Stmt::Local(local)) if !matches!(local.pat, Pat::Wild(_)) => {
            local.init.as_ref().map(|init| &*init.expr)
        }
        Place::Statement(Stmt::Expr(Expr::Assign(assign), _)) => Some(&assign.right),
        Place::Statement(Stmt::Expr(expr, _)) => Some(expr),
        Place::Statement(_) => None,
    }
}

/// What is matched, where there is a `match`; else the value.
fn optional<'a>(place: &Place<'a>) -> Option<&'a Expr> {
    match value(place)? {
        Expr::Match(matched) => Some(&matched.expr),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests;
