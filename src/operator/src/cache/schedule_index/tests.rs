//! Unit tests of the index. A property test compares its look-ups with a walk over all schedules.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) fn schedule(name: &str, tenant: &str, server: &str, database: &str, status: &Value) -> BackupSchedule {
    serde_json::from_value(json!({
        "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule",
        "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}"), "generation": 1},
        "spec": {
            "tenant": {"id": tenant, "owner": "1", "plan": {"name": "free"}},
            "database": {"serverRef": {"name": server}, "name": database}, "storageRef": {"name": "b"}
        },
        "status": status
    }))
    .unwrap()
}

fn key(name: &str) -> Key {
    Key::new("n", name)
}

#[test]
fn a_list_that_is_read_again_takes_away_what_it_did_not_bring() {
    let index = ScheduleIndex::default();
    for name in ["a", "b", "c"] {
        index.put(&schedule(name, name, "s", name, &json!(null)), 0, 1);
    }
    index.put(&schedule("elsewhere", "x", "s", "x", &json!(null)), 1, 1);
    assert_eq!(index.put(&schedule("a", "a", "s", "a", &json!(null)), 0, 2).1, Change::Nothing);
    index.put(&schedule("c", "c", "t", "c", &json!(null)), 0, 2);
    let gone: Vec<String> = index.sweep(0, 2).iter().map(|entry| entry.key.name.to_string()).collect();
    assert_eq!((gone, index.len()), (vec!["b".to_owned()], 3));
    assert_eq!((index.on_server("n", "s"), index.on_server("n", "t")), (2, 1));
}

#[test]
fn a_change_says_whether_to_reconcile_or_only_to_count() {
    let index = ScheduleIndex::default();
    let fresh = |status: &str| json!({"conditions": [{"type": "Fresh", "status": status, "reason": "R"}]});
    let first = schedule("a", "a", "s", "a", &fresh("True"));
    assert_eq!(index.put(&first, 0, 1).1, Change::New);
    assert_eq!(index.put(&first, 0, 1).1, Change::Nothing);
    assert_eq!(index.put(&schedule("a", "a", "s", "a", &fresh("False")), 0, 1).1, Change::Count);
    let mut edited = first.clone();
    edited.metadata.generation = Some(2);
    assert_eq!(index.put(&edited, 0, 1).1, Change::Spec);
    edited.metadata.uid = Some("another".to_owned());
    assert_eq!(index.put(&edited, 0, 1).1, Change::New);
    assert_eq!(index.len(), 1);
}

#[test]
fn holds_of_last_good_backups_are_known_until_they_end() {
    let index = ScheduleIndex::default();
    let kept = json!({"backups": [{
        "id": "20261122T021000Z-1a2b3c4d", "day": "2026-11-22", "snapshotTime": "2026-11-22T02:10:00Z", "bytes": 5, "rows": 1,
        "manifestSha256": "x", "heldUntil": "2026-12-01T00:00:00Z"
    }]});
    index.put(&schedule("a", "a", "s", "a", &kept), 0, 1);
    assert_eq!(index.last_good_holds("n")[0].1, "20261122T021000Z-1a2b3c4d");
    assert_eq!(index.drill_tenants("n", "s", true)[0].backup, "20261122T021000Z-1a2b3c4d");
    assert!(index.drill_tenants("n", "s", false).is_empty());
    let mut asked = schedule("a", "a", "s", "a", &kept);
    asked.spec.trigger = serde_json::from_value(json!({"drill": "t-1"})).unwrap();
    index.put(&asked, 0, 1);
    assert_eq!(index.drill_tenants("n", "s", false)[0].requested.as_deref(), Some("t-1"));
    index.put(&schedule("a", "a", "s", "a", &json!(null)), 0, 1);
    assert!(index.last_good_holds("n").is_empty() && index.drill_tenants("n", "s", true).is_empty());
}

#[test]
fn the_summary_counts_all_and_names_the_worst_first() {
    let index = ScheduleIndex::default();
    for n in 0..50 {
        let last = (n > 0).then(|| format!("2026-11-{:02}T00:00:00Z", n % 25 + 1));
        let fresh = if n % 2 == 0 { "False" } else { "True" };
        let status = json!({"lastSuccessfulTime": last, "conditions": [{"type": "Fresh", "status": fresh, "reason": "BackupIsStale"}]});
        let name = format!("t{n:02}");
        index.put(&schedule(&name, &name, "s", &name, &status), 0, 1);
    }
    let now = "2026-11-26T00:00:00Z".parse().unwrap();
    let summary = index.summary("n", "b", now);
    assert_eq!((summary.schedules, summary.fresh, summary.stale, summary.troubled), (50, 25, 25, 25));
    assert_eq!(summary.worst.len(), 20);
    assert_eq!((summary.worst[0].name.as_str(), summary.worst[0].last_backup), ("t00", None));
    assert!(summary.worst[1..].is_sorted_by_key(|worst| worst.last_backup));
    assert_eq!(index.summary("n", "other", now).schedules, 0);
    let ages = index.ages(now);
    assert_eq!(ages.labelled().map(|(_, count)| count).sum::<i64>(), 50);
    assert_eq!(ages.labelled().find(|(label, _)| *label == "none"), Some(("none", 1)));
}

#[test]
fn a_rival_that_is_refused_or_deleted_or_names_missing_objects_holds_nothing() {
    let aged = |name: &str, second: u32, server: &str, status: &Value| {
        let mut object = schedule(name, "t", server, "d", status);
        object.metadata.creation_timestamp =
            serde_json::from_value(json!(format!("2026-11-22T00:00:{second:02}Z"))).unwrap();
        object
    };
    let index = ScheduleIndex::default();
    let (first, second) = (aged("b", 1, "s", &json!(null)), aged("a", 2, "s", &json!(null)));
    let older = |object: &BackupSchedule| {
        index.put(object, 0, 1);
        index.rivals(&second, |entry| &*entry.server == "s").holder.map(|holder| (holder.name, holder.suspended))
    };
    index.put(&second, 0, 1);
    let mut suspended = first.clone();
    suspended.spec.suspend = true;
    let mut unreadable = first.clone();
    unreadable.spec.time_zone = "Mars".to_owned();
    let mut leaving = first.clone();
    leaving.metadata.deletion_timestamp = first.metadata.creation_timestamp.clone();
    assert_eq!(older(&first), Some(("b".to_owned(), false)));
    assert_eq!(older(&suspended), Some(("b".to_owned(), true)), "a suspended schedule stays the holder");
    for other in [unreadable, leaving, aged("b", 1, "gone", &json!(null)), aged("b", 3, "s", &json!(null))] {
        assert_eq!(older(&other), None, "{other:?}");
    }
    index.put(&first, 0, 1);
    assert_eq!(index.rivals(&first, |_| true).holder, None, "the first is not disturbed");
    let refused = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Duplicate"}]});
    let entry = |object: &BackupSchedule| ScheduleEntry::of(object, &mut StringPool::default());
    assert_eq!(index.younger_rivals(&entry(&first)), [key("a")]);
    assert_eq!(index.younger_rivals(&entry(&second)), [], "the older one loses nothing to it");
    assert_eq!(index.younger_rivals(&entry(&aged("b", 1, "s", &refused))), [], "it held nothing");
}

proptest! {
    // A hundred steps each.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rivals_are_found_as_by_walking_all(steps in prop::collection::vec((0u8..12, 0u8..5, 0u8..3, 0u8..5, any::<bool>()), 1..120)) {
        let index = ScheduleIndex::default();
        let mut all: std::collections::HashMap<u8, BackupSchedule> = std::collections::HashMap::new();
        for (name, tenant, server, database, gone) in steps {
            let object = schedule(
                &format!("a{name}"), &format!("t{tenant}"), &format!("s{server}"), &format!("d{database}"), &json!(null),
            );
            if gone {
                index.remove(&key(&format!("a{name}")));
                all.remove(&name);
            } else {
                index.put(&object, 0, 1);
                all.insert(name, object.clone());
            }
            let spec = |o: &BackupSchedule| (o.spec.tenant.id.clone(), o.spec.database.server_ref.name.clone(), o.spec.database.name.clone());
            let mine = spec(&object);
            let walked: BTreeSet<String> = all.values()
                .filter(|other| other.metadata.name != object.metadata.name)
                .filter(|other| { let s = spec(other); s.0 == mine.0 || (s.1 == mine.1 && s.2 == mine.2) })
                .filter_map(|other| other.metadata.name.clone())
                .collect();
            let found: BTreeSet<String> = index.rivals(&object, |_| true).all.into_iter().map(|rival| rival.name.to_string()).collect();
            prop_assert_eq!(found, walked);
            prop_assert_eq!(index.len(), all.len());
            let on: i32 = (0..3).map(|n| index.on_server("n", &format!("s{n}"))).sum();
            prop_assert_eq!(usize::try_from(on).unwrap(), all.len());
        }
    }
}
