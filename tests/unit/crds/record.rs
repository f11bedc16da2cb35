//! The head of a request's record only goes forward.

use super::{passes, refused, status, with};
use serde_json::{Value, json};

fn head(seq: i64, sha256: &str) -> Value {
    status(&json!({"audit": {"storage": "main", "seq": seq, "sha256": sha256, "state": "s"}}))
}

#[test]
fn the_head_of_the_record_never_goes_back_and_never_vanishes() {
    let kind = "RestoreRequest";
    let old = head(7, "aa");
    passes(kind, &head(8, "bb"), Some(&old));
    passes(kind, &with(&old, &json!({"status": {"audit": {"state": "t"}}})), Some(&old));
    refused(kind, &head(6, "99"), Some(&old), "only grows");
    refused(kind, &head(7, "bb"), Some(&old), "only grows");
    refused(kind, &with(&old, &json!({"status": {"audit": null}})), Some(&old), "audit never vanishes");
}
