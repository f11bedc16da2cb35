//! The tables name each key of the schema and each condition once, and applies of parts never touch another's part.

use super::*;
use proptest::prelude::*;
use sennight_api::conditions::ConditionStatus;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use strum::IntoEnumIterator;

const ALL: [Controller; 3] = [Restore, Cleanup, Record];

/// The keys that the CRD has for status.
fn schema() -> BTreeSet<String> {
    let crd = serde_json::to_value(sennight_api::crds::restore_requests().unwrap()).unwrap();
    let properties = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
    properties.as_object().unwrap().keys().cloned().collect()
}

/// A status in which every key of the schema is there, with each condition and a Job of each step. `mark` is in each value.
fn full(mark: u32) -> RestoreRequestStatus {
    let (time, text) = (format!("2026-11-22T03:00:{:02}Z", mark % 60), format!("m{mark}"));
    let conditions: Vec<Value> = RequestCondition::iter()
        .map(|kind| json!({"type": kind.as_ref(), "status": ConditionStatus::True, "reason": text}))
        .collect();
    let jobs: Vec<Value> = RestoreStep::iter()
        .map(|step| json!({"name": step.to_string(), "step": step.to_string(), "attempt": 1, "uid": text}))
        .collect();
    serde_json::from_value(json!({
        "approval": {"decision": "Approved", "by": text}, "payment": {"reference": text}, "conditions": conditions,
        "jobs": jobs, "observedGeneration": mark, "tenant": text, "phase": "Queued", "waitingOn": "Queue",
        "deadline": time, "estimate": {"rows": mark}, "live": {
            "key": text, "sha256": "x", "bytes": 1, "ids": 1, "at": time
        },
        "backup": {
            "id": text, "prefix": "p", "day": "2026-11-21", "snapshotTime": time, "bytes": 1, "rows": 1,
            "manifestSha256": "x"
        },
        "preflight": {"at": time, "job": text},
        "prepared": {
            "at": time, "job": text, "database": "d", "liveOid": 1, "newOid": 2, "rows": 1, "tables": 1
        },
        "undo": {"requestUid": text, "database": "d", "previousOid": 1, "liveOid": 2, "heldUntil": time},
        "claim": {"attempt": 1, "job": text, "at": time}, "result": {"key": text},
        "progress": {"at": time, "bytes": 1, "rows": mark, "tables": 1}, "finishedAt": time, "remindedAt": time,
        "history": [{"time": time, "event": text}], "audit": {"storage": text, "seq": 1, "sha256": "x", "state": "x"},
        "previousDatabase": {"name": text, "oid": 1, "undoUntil": time}, "droppedDatabase": {"at": time}
    }))
    .unwrap()
}

fn fields(status: &RestoreRequestStatus) -> Map<String, Value> {
    serde_json::to_value(status).unwrap().as_object().unwrap().clone()
}

#[test]
fn every_key_of_the_schema_has_one_writer() {
    let named: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    let once: BTreeSet<String> = named.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(named.len(), once.len(), "a key has two rows");
    assert_eq!(once, schema(), "a key of the schema has no row, or a row no key");
    assert_eq!(fields(&full(1)).keys().cloned().collect::<BTreeSet<_>>(), schema(), "the sample lacks a key");
}

#[test]
fn a_part_holds_what_the_tables_say_and_no_more() {
    let whole = full(1);
    for controller in ALL {
        let part = own(&whole, controller);
        let kept = fields(&part);
        for (key, writer) in KEYS {
            let wanted = match writer {
                EachEntry => *key == "conditions" || controller != Record,
                other => *other == Operator(controller),
            };
            assert_eq!(kept.contains_key(*key), wanted, "{controller:?} {key}");
        }
        for condition in RequestCondition::iter() {
            let there = part.conditions.iter().any(|c| c.type_ == condition.as_ref());
            assert_eq!(there, writer_of_condition(condition) == Operator(controller), "{controller:?} {condition}");
        }
        for step in RestoreStep::iter() {
            let there = part.jobs.iter().any(|job| job.is(step));
            assert_eq!(there, controller_of_step(step) == controller, "{controller:?} {step}");
        }
    }
    assert!(ALL.iter().map(|controller| controller.jobs_kept()).sum::<usize>() < 40, "the schema takes 40 Jobs");
}

#[test]
fn i2_only_restore_claims_and_ends() {
    for controller in ALL {
        let part = own(&full(1), controller);
        let writes = [part.claim.is_some(), part.finished_at.is_some(), part.result.is_some(), part.phase.is_some()];
        assert_eq!(writes, [controller == Restore; 4], "{controller:?}");
    }
}

/// What the API server does with an apply: the manager's keys and entries become what it says, all others stay.
fn apply(whole: &mut Map<String, Value>, controller: Controller, part: &RestoreRequestStatus) {
    let part = fields(part);
    for (key, writer) in KEYS {
        if *writer == Operator(controller) {
            match part.get(*key) {
                Some(value) => whole.insert((*key).to_owned(), value.clone()),
                None => whole.remove(*key),
            };
        }
    }
    for (key, name) in [("conditions", "type"), ("jobs", "name")] {
        let entries = |of: &Map<String, Value>| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let mine = |entry: &Value| match key {
            "jobs" => controller_of_step_named(entry["step"].as_str().unwrap()) == controller,
            _ => writer_of_condition(entry["type"].as_str().unwrap().parse().unwrap()) == Operator(controller),
        };
        let mut all: Vec<Value> = entries(whole).into_iter().filter(|entry| !mine(entry)).collect();
        all.extend(entries(&part));
        all.sort_by_key(|entry| entry[name].to_string());
        whole.insert(key.to_owned(), all.into());
    }
}

proptest! {
    #[test]
    fn applies_of_the_three_in_any_order_give_one_status_and_never_remove_anothers_key(
        order in Just(ALL).prop_shuffle(), marks in prop::array::uniform3(1u32..1000),
    ) {
        let of = |controller: Controller| marks[ALL.iter().position(|c| *c == controller).unwrap()];
        let run = |order: &[Controller]| {
            let mut whole = fields(&full(0));
            for controller in order {
                let before = whole.clone();
                apply(&mut whole, *controller, &own(&full(of(*controller)), *controller));
                let (keys, kept) = (before.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
                prop_assert_eq!(keys, kept);
                for (key, writer) in KEYS {
                    if !matches!(writer, EachEntry) && *writer != Operator(*controller) {
                        prop_assert_eq!(&before[*key], &whole[*key], "{:?} changed {}", controller, key);
                    }
                }
            }
            Ok(whole)
        };
        prop_assert_eq!(run(&order)?, run(&ALL)?);
    }
}
