//! Verdicts of the patrol on single directories; tests/integrity runs them through whole histories.

use super::super::{daily_tags, held_tags};
use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A backup of 22 November: its seven days are over at midnight before the 30th.
fn dir(area: Area, objects: &[&str]) -> BackupDir {
    let id: BackupId = "20261122T021000Z-0000000a".parse().unwrap();
    let prefix = format!("p/{area}/ns/acme/{id}/");
    let stored = Some(at("2026-11-22T02:11:00Z"));
    let objects = objects.iter().map(|name| Object { key: format!("{prefix}{name}"), stored }).collect();
    BackupDir { area, namespace: "ns".into(), schedule: "acme".into(), id, prefix, objects }
}

fn orders(enforcer: Enforcer, now: &str) -> Orders {
    Orders { days: 7, enforcer, release: true, now: at(now) }
}

const REQUEST: Need = Need { request: true, last_good: None };
const WHOLE: [&str; 3] = ["data/pack-0001.zst", "manifest.json", "schema.pgdump"];

#[test]
fn i5_each_backup_gets_its_verdict() {
    use Enforcer::{Operator, Rules};
    let daily = daily_tags();
    let held = held_tags(at("2026-12-05T00:00:00Z"));
    let team = BTreeMap::from([("retain".to_owned(), "legal".to_owned())]);
    let good = Need { last_good: Some(at("2026-12-22T00:00:00Z")), ..Need::NOBODY };
    let (young, old, ancient) = ("2026-11-29T23:59:59Z", "2026-11-30T00:00:00Z", "2026-12-02T00:00:00Z");
    for (enforcer, now, tags, need, wanted) in [
        (Operator, young, Some(&daily), Need::NOBODY, Verdict::Keep),
        (Operator, old, Some(&daily), Need::NOBODY, Verdict::Delete),
        (Operator, old, None, Need::NOBODY, Verdict::Delete),
        (Operator, old, Some(&daily), REQUEST, Verdict::Keep),
        (Operator, old, Some(&held), REQUEST, Verdict::Keep),
        (Operator, old, Some(&held), Need::NOBODY, Verdict::Release),
        (Operator, old, Some(&held), good, Verdict::Keep),
        (Operator, "2026-12-22T00:00:00Z", Some(&held), good, Verdict::Release),
        (Operator, "2026-12-22T00:00:00Z", Some(&held), Need { request: true, ..good }, Verdict::Release),
        (Operator, "2026-12-13T23:59:59Z", Some(&held), REQUEST, Verdict::Keep),
        (Operator, "2026-12-14T00:00:00Z", Some(&held), REQUEST, Verdict::Release),
        (Operator, old, Some(&team), Need::NOBODY, Verdict::Keep),
        (Operator, ancient, Some(&team), Need::NOBODY, Verdict::Overdue),
        (Rules, old, Some(&daily), Need::NOBODY, Verdict::Keep),
        (Rules, "2026-12-01T23:59:59Z", Some(&daily), Need::NOBODY, Verdict::Keep),
        (Rules, ancient, Some(&daily), Need::NOBODY, Verdict::Overdue),
        (Rules, ancient, Some(&held), Need::NOBODY, Verdict::Release),
        (Rules, ancient, Some(&held), REQUEST, Verdict::Keep),
    ] {
        let verdict = orders(enforcer, now).judge(&dir(Area::Daily, &WHOLE), tags, need);
        assert_eq!(verdict, wanted, "{enforcer:?} {now} {tags:?} {need:?}");
    }
    let fresh = Orders { release: false, ..orders(Rules, ancient) };
    assert_eq!(fresh.judge(&dir(Area::Daily, &WHOLE), Some(&held), Need::NOBODY), Verdict::Orphan);
}

#[test]
fn i5_a_held_twin_stays_while_somebody_needs_it_and_not_longer() {
    let copy = dir(Area::Held, &WHOLE);
    for enforcer in [Enforcer::Rules, Enforcer::Operator] {
        let late = orders(enforcer, "2026-12-02T00:00:00Z");
        assert_eq!(late.judge(&copy, None, REQUEST), Verdict::Keep);
        assert_eq!(late.judge(&copy, None, Need::NOBODY), Verdict::Release);
        assert_eq!(orders(enforcer, "2026-11-25T00:00:00Z").judge(&copy, None, Need::NOBODY), Verdict::Keep);
        let broken_off = dir(Area::Held, &WHOLE[..1]);
        assert_eq!(late.judge(&broken_off, None, Need::NOBODY), Verdict::DeleteUnfinished);
        assert_eq!(late.judge(&broken_off, None, REQUEST), Verdict::Keep);
    }
}

#[test]
fn what_a_failed_run_left_is_cleared_after_two_days_and_not_before() {
    let left = dir(Area::Daily, &WHOLE[..1]);
    for (enforcer, now, wanted) in [
        (Enforcer::Operator, "2026-11-24T02:10:59Z", Verdict::Keep),
        (Enforcer::Operator, "2026-11-24T02:11:00Z", Verdict::DeleteUnfinished),
        (Enforcer::Rules, "2026-12-01T23:59:59Z", Verdict::Keep),
        (Enforcer::Rules, "2026-12-02T00:00:00Z", Verdict::DeleteUnfinished),
    ] {
        assert_eq!(orders(enforcer, now).judge(&left, None, Need::NOBODY), wanted, "{enforcer:?} {now}");
    }
}

#[test]
fn i5_a_store_that_does_not_say_when_it_stored_an_object_loses_none() {
    let mut unknown = dir(Area::Daily, &WHOLE);
    unknown.objects[0].stored = None;
    let late = orders(Enforcer::Operator, "2030-01-01T00:00:00Z");
    assert_eq!(late.judge(&unknown, None, Need::NOBODY), Verdict::Keep);
    assert!(!late.sweeps(Area::Results, &unknown.objects[0]));
}

#[test]
fn i5_safety_dumps_stay_thirty_days_and_records_four_hundred() {
    let safety = dir(Area::Safety, &WHOLE);
    assert_eq!(orders(Enforcer::Operator, "2026-12-22T23:59:59Z").judge(&safety, None, Need::NOBODY), Verdict::Keep);
    assert_eq!(orders(Enforcer::Operator, "2026-12-23T00:00:00Z").judge(&safety, None, Need::NOBODY), Verdict::Delete);
    let object = Object { key: "p/x".into(), stored: Some(at("2026-11-22T02:00:00Z")) };
    for (area, gone) in [
        (Area::Exports, "2026-11-30T00:00:00Z"),
        (Area::Results, "2026-11-30T00:00:00Z"),
        (Area::Progress, "2026-11-30T00:00:00Z"),
        (Area::Claims, "2027-12-28T00:00:00Z"),
        (Area::Audit, "2027-12-28T00:00:00Z"),
    ] {
        let before = at(gone) - TimeDelta::seconds(1);
        assert!(!Orders { now: before, ..orders(Enforcer::Operator, gone) }.sweeps(area, &object), "{area}");
        assert!(orders(Enforcer::Operator, gone).sweeps(area, &object), "{area}");
        assert!(!orders(Enforcer::Rules, gone).sweeps(area, &object), "{area}: the bucket's own rules do");
    }
}

#[test]
fn i4_the_manifest_goes_first() {
    let (first, then) = dir(Area::Daily, &WHOLE).deletion();
    assert!(first.unwrap().ends_with("/manifest.json"));
    assert_eq!(then.len(), 2);
    assert_eq!(dir(Area::Daily, &WHOLE[..1]).deletion().0, None);
}

#[test]
fn directories_are_put_together_across_pages_and_strangers_are_passed_over() {
    let mut grouper = Grouper::new(&Keys::new("p"), Area::Daily);
    let mut found = Vec::new();
    let (one, two) = ("20261122T021000Z-0000000a", "20261122T021000Z-0000000b");
    let keys = [
        "p/daily/README".to_owned(),
        format!("p/daily/ns/acme/{one}/data/a.zst"),
        format!("p/daily/ns/acme/{one}/data/notes.txt"),
        format!("p/daily/ns/acme/{one}/manifest.json"),
        format!("p/daily/ns/acme/{one}/readme"),
        format!("p/daily/ns/acme/{two}/a-note"),
        format!("p/daily/ns/acme/{two}/manifest.json"),
        "p/daily/ns/acme/notes.txt".to_owned(),
        format!("p/daily/ns/../{one}/manifest.json"),
        format!("p/daily/ns/acme/{one}x/manifest.json"),
        format!("p/other/ns/acme/{one}/manifest.json"),
    ];
    for key in keys {
        found.extend(grouper.push(Object { key, stored: None }));
    }
    found.extend(grouper.finish());
    let sizes: Vec<_> = found
        .iter()
        .map(|f| match f {
            Found::Backup(dir) => (dir.id.to_string(), dir.objects.len()),
            Found::Single(..) => panic!("{f:?}"),
        })
        .collect();
    assert_eq!(sizes, [(one.to_owned(), 2), (two.to_owned(), 1)]);
}

#[test]
fn an_object_that_stands_alone_is_ours_by_its_name_or_has_to_be_asked_or_is_passed_over() {
    let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let mut grouper = Grouper::new(&Keys::new(""), Area::Results);
    let mut whose = |key: String| match grouper.push(Object { key, stored: None }) {
        Some(Found::Single(Area::Results, whose, _)) => whose,
        None => Owned::Foreign,
        Some(other) => panic!("{other:?}"),
    };
    assert_eq!(whose(format!("results/{uid}/acme.json")), Owned::Ours);
    assert_eq!(whose("results/2024/summary.json".to_owned()), Owned::Perhaps);
    assert_eq!(whose("results/lab.csv".to_owned()), Owned::Foreign);
}
