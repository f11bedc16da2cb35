//! Every case: one line each, by what is attacked.

mod ends;
mod installs;
mod others;
mod signatures;

pub use installs::{four_eyes, unstamped};

use crate::how::{Case, How, Want};
use crate::scene::Scene;
use serde_json::{Value, json};

/// All of them.
pub fn table() -> Vec<Case> {
    [signatures::approvals(), signatures::payments(), signatures::names(), ends::rest(), ends::smuggled(), ends::removed()]
        .into_iter()
        .chain([ends::late(), others::look_alikes(), others::other_paths(), others::jobs(), others::pods()])
        .flatten()
        .collect()
}

fn case(who: &'static str, tries: &'static str, on: Scene, how: How, want: Want) -> Case {
    Case { who, tries, on, how, want }
}

/// A merge patch of the status.
fn merge(status: Value) -> How {
    How::Merge("status", json!({"status": status}))
}

/// A JSON patch of the status, of one operation.
fn json_patch(operation: &str, path: &str, value: Value) -> How {
    How::Json("status", json!([{"op": operation, "path": path, "value": value}]))
}

/// Server-side apply of a status.
fn apply(manager: &'static str, status: Value) -> How {
    How::Apply("status", manager, json!({"status": status}))
}

fn approve() -> Value {
    json!({"approval": {"decision": "Approved"}})
}
