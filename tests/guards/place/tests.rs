//! Each mutation on a small file.

use super::*;
use crate::mark::marks;
use std::path::Path;

fn without_it(text: &str) -> Result<String, String> {
    let found = marks(Path::new("a.rs"), text)?;
    assert_eq!(found.len(), 1);
    without(text, &found[0])
}

/// The line after the mark, without the guard.
fn line(text: &str) -> String {
    let mutant = without_it(text).map_err(|error| panic!("{error}\n{text}")).unwrap();
    let after = mutant.split_once("): w\n").unwrap().1;
    after.lines().find(|line| !line.trim_start().starts_with(['/', '#'])).unwrap().trim().to_owned()
}

#[test]
fn a_condition_becomes_false_or_true() {
    let cases = [
        ("never", "if a && b { f() }", "if ((a && b) && false) { f() }"),
        ("never", "if let Some(x) = a { f(x) }", "if let Some(x) = a && false { f(x) }"),
        ("never", "if let Some(x) = a && x { f() }", "if let Some(x) = a && x && false { f() }"),
        ("always", "while a { f() }", "while ((a) || true) { f() }"),
        ("never", "(!a).then_some(1)", "(((!a)) && false).then_some(1)"),
        ("always", "a.is_none_or(|a| a < b).then_some(b)", "((a.is_none_or(|a| a < b)) || true).then_some(b)"),
        ("always", "let c = a.is_some_and(|a| a == b);", "let c = a.is_some_and(|a| ((a == b) || true));"),
        ("never", "let c = a.b;", "let c = ((a.b) && false);"),
        ("never", "let c = if a { 1 } else { 2 };", "let c = if ((a) && false) { 1 } else { 2 };"),
        ("never", "matches!(a, Some(_) if b)", "((matches!(a, Some(_) if b)) && false)"),
    ];
    for (mutation, code, expected) in cases {
        assert_eq!(line(&format!("fn g() {{\n    // guard(t, {mutation}): w\n    {code}\n}}\n")), expected, "{code}");
    }
}

#[test]
fn an_arm_loses_its_guard_or_is_another() {
    let cases = [
        ("never", "Some(x) if x => 1,", "Some(x) if ((x) && false) => 1,"),
        ("always", "Some(x) if x > a => 1,", "Some(x) if ((x > a) || true) => 1,"),
        ("never", "Some(_) => 1,", "Some(_) if false => 1,"),
        ("= 2", "Some(_) => { 1 }", "Some(_) => 2,"),
        ("= None", "Some(_) => f(),", "Some(_) => None,"),
    ];
    for (mutation, code, expected) in cases {
        let text = format!(
            "fn g() {{\n    match a {{\n        // guard(t, {mutation}): w\n        {code}\n        _ => 0,\n    }}\n}}\n"
        );
        assert_eq!(line(&text), expected, "{code}");
    }
}

#[test]
fn a_value_is_another_and_a_statement_or_call_is_gone() {
    let cases = [
        ("= true", "config.retry = false;", "config.retry = true;"),
        ("= Some(\"\")", "let Some(x) = a else { return };", "let Some(x) = Some(\"\") else { return };"),
        ("none", "match f().await? {", "match (f().await?).filter(|_| false) {"),
        ("none", "let c = a.b();", "let c = (a.b()).filter(|_| false);"),
        ("drop-call", "let c = a.b().exclusive();", "let c = a.b();"),
        ("drop", "check(a)?;", ""),
    ];
    for (mutation, code, expected) in cases {
        let rest = if code.ends_with('{') { "None => {} }" } else { "" };
        let text = format!("async fn g() {{\n    // guard(t, {mutation}): w\n    {code}\n{rest}}}\n");
        assert_eq!(line(&text), expected, "{code}");
    }
    assert_eq!(
        line("fn g() { S {\n    // guard(t, = Some(6)): w\n    limit: Some(0),\n    b: 1 } }\n"),
        "limit: Some(6),"
    );
}

#[test]
fn the_body_of_a_function_is_another() {
    let text = "/// Doc.\n// guard(t, = None): w\n#[inline]\npub(super) fn f(a: u8) -> Option<u8> {\n    Some(a)\n}\n";
    assert_eq!(line(text), "pub(super) fn f(a: u8) -> Option<u8> { None }");
    let method = "impl A {\n    // guard(t, = true): w\n    fn m(&self) -> bool {\n        false\n    }\n}\n";
    assert_eq!(line(method), "fn m(&self) -> bool { true }");
}

#[test]
fn what_cannot_be_taken_away_is_told() {
    let inside = |mutation: &str, code: &str| {
        without_it(&format!("fn g() {{\n    // guard(t, {mutation}): w\n    {code}\n}}\n")).unwrap_err()
    };
    assert!(inside("always", "if let Some(x) = a { f(x) }").contains("binds nothing"));
    assert!(inside("drop-call", "f();").contains("method call"));
    assert!(inside("= Old::Name", "let a = New::Name;").contains("`Old` in its mutation stands nowhere else"));
    assert!(inside("= 1 +", "let a = 2;").contains("no expression"));
    assert!(inside("never", "").contains("begins on the next line of code"));
    assert!(
        inside("never", "m! { if a { b } }\n    c();").contains("needs a condition"),
        "statement of a macro with braces"
    );
}
