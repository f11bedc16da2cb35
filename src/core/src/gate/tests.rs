//! A request that passes every check; each test changes one input and expects one refusal.

use super::*;
use crate::authority::Distrust;
use crate::engine::EngineKind;
use chrono::{DateTime, Utc};
use proptest::prelude::*;

fn identity(tenant: &str) -> TenantIdentity {
    TenantIdentity {
        namespace: "tenants".into(),
        schedule: "acme".into(),
        schedule_uid: "u1".into(),
        tenant: tenant.into(),
        engine: EngineKind::PostgreSQL,
        database: "acme".into(),
    }
}

fn backup(day: &str, tenant: &str) -> BackupCandidate {
    let time = format!("{day}T02:00:00Z").parse().unwrap();
    BackupCandidate { id: BackupId::new(time, 7), day: day.parse().unwrap(), identity: identity(tenant) }
}

fn account() -> ScheduleFacts {
    ScheduleFacts {
        owner: "17".into(),
        identity: identity("acme"),
        today: "2026-11-22".parse().unwrap(),
        can_restore: true,
    }
}

/// Refusal of the valid request after `mutate`.
fn refusal(mutate: impl Fn(&mut GateInputs<'_>)) -> Option<&'static str> {
    let (account, wanted) = (account(), RequestedBackup::Day("2026-11-20".parse().unwrap()));
    let backups = [backup("2026-11-21", "acme"), backup("2026-11-20", "acme")];
    let mut evidence = GateInputs {
        mode: Mode::FullRestore,
        wanted: &wanted,
        requester: "17",
        schedule_name: "acme",
        schedule: Some(&account),
        missing_reference: None,
        active_request: None,
        retention_days: 7,
        backups: Ok(&backups),
        pinned: None,
    };
    mutate(&mut evidence);
    resolve(&evidence).err().map(|r| r.reason())
}

#[test]
fn a_valid_request_gets_the_backup_of_its_day() {
    assert_eq!(refusal(|_| ()), None);
}

#[test]
fn each_obstacle_has_its_own_reason() {
    let day =
        |text: &str| -> &'static RequestedBackup { Box::leak(Box::new(RequestedBackup::Day(text.parse().unwrap()))) };
    let poor: &'static ScheduleFacts = Box::leak(Box::new(ScheduleFacts { can_restore: false, ..account() }));
    assert_eq!(refusal(|e| e.schedule = None), Some("ScheduleGone"));
    assert_eq!(refusal(|e| e.requester = "18"), Some("NotAccountOwner"));
    assert_eq!(refusal(|e| e.active_request = Some("first")), Some("ActiveRequestExists"));
    assert_eq!(refusal(|e| e.schedule = Some(poor)), Some("NoRestoreCredentials"));
    assert_eq!(refusal(|e| e.wanted = day("2026-11-23")), Some("DateInFuture"));
    assert_eq!(refusal(|e| e.wanted = day("2026-11-14")), Some("OlderThanRetention"));
    assert_eq!(refusal(|e| e.wanted = day("2026-11-19")), Some("NoBackupOfThatDay"));
    assert_eq!(refusal(|e| e.backups = Ok(&[])), Some("NoBackupOfThatDay"));
    assert_eq!(refusal(|e| e.backups = Err("timeout")), Some("CatalogueUnknown"));
}

#[test]
fn both_ways_are_open_to_every_engine() {
    let mariadb = TenantIdentity { engine: EngineKind::MariaDB, ..identity("acme") };
    let account: &'static ScheduleFacts = Box::leak(Box::new(ScheduleFacts { identity: mariadb.clone(), ..account() }));
    let backups: &'static [BackupCandidate] =
        Box::leak(vec![BackupCandidate { identity: mariadb, ..backup("2026-11-20", "acme") }].into_boxed_slice());
    let asked = |mode| refusal(|e| (e.schedule, e.mode, e.backups) = (Some(account), mode, Ok(backups)));
    assert_eq!(asked(Mode::CrmExport), None);
    assert_eq!(asked(Mode::FullRestore), None);
}

#[test]
fn a_crm_export_needs_no_restore_credentials() {
    let poor: &'static ScheduleFacts = Box::leak(Box::new(ScheduleFacts { can_restore: false, ..account() }));
    assert_eq!(refusal(|e| (e.schedule, e.mode) = (Some(poor), Mode::CrmExport)), None);
}

#[test]
fn i7_another_tenants_backup_is_refused_by_each_identity_field() {
    let good = identity("acme");
    let foreign = [
        TenantIdentity { namespace: "x".into(), ..good.clone() },
        TenantIdentity { schedule: "x".into(), ..good.clone() },
        TenantIdentity { tenant: "x".into(), ..good.clone() },
        TenantIdentity { database: "x".into(), ..good.clone() },
        TenantIdentity { engine: EngineKind::MariaDB, ..good.clone() },
    ];
    for identity in foreign {
        let backups: &'static [BackupCandidate] =
            Box::leak(vec![BackupCandidate { identity, ..backup("2026-11-20", "acme") }].into_boxed_slice());
        assert_eq!(refusal(|e| e.backups = Ok(backups)), Some("AnotherTenantsBackup"));
        assert_eq!(refusal(|e| e.pinned = Some(&backups[0])), Some("AnotherTenantsBackup"), "also when pinned");
    }
    let adopted: &'static [BackupCandidate] = Box::leak(Box::new([BackupCandidate {
        identity: TenantIdentity { schedule_uid: "of an earlier life".into(), ..good },
        ..backup("2026-11-20", "acme")
    }]));
    assert_eq!(refusal(|e| e.backups = Ok(adopted)), None, "a re-created schedule adopts its backups");
}

#[test]
fn a_pinned_backup_does_not_age_while_people_decide() {
    let pinned: &'static BackupCandidate = Box::leak(Box::new(backup("2026-11-10", "acme")));
    assert_eq!(refusal(|e| (e.pinned, e.backups) = (Some(pinned), Ok(&[][..]))), None);
}

fn keys() -> RunInputs {
    RunInputs {
        mode: Mode::FullRestore,
        eligible: true,
        held: true,
        approval: Approval::Approved { by: "anna".into() },
        payment: Payment::Paid { by: "billing".into() },
        requested_by: Some("anna".into()),
        four_eyes: FourEyes::None,
        signatures: Ok(()),
        policies: Ok(()),
    }
}

#[test]
fn i1_each_closed_lock_refuses_by_itself() {
    assert_eq!(may_run(&keys()), Ok(()));
    let reason = |mutate: &dyn Fn(&mut RunInputs)| {
        let mut k = keys();
        mutate(&mut k);
        may_run(&k).unwrap_err().reason()
    };
    assert_eq!(reason(&|k| k.eligible = false), "NotEligible");
    assert_eq!(reason(&|k| k.held = false), "NotHeld");
    assert_eq!(reason(&|k| k.approval = Approval::Undecided), "AwaitingApproval");
    assert_eq!(reason(&|k| k.approval = Approval::Approved { by: String::new() }), "AwaitingApproval");
    assert_eq!(reason(&|k| k.approval = Approval::Denied { by: "b".into(), why: "no".into() }), "Denied");
    assert_eq!(reason(&|k| k.payment = Payment::Open), "AwaitingPayment");
    assert_eq!(reason(&|k| k.payment = Payment::Paid { by: String::new() }), "AwaitingPayment");
    assert_eq!(reason(&|k| k.payment = Payment::Paid { by: "anna".into() }), "ApproverIsPayer");
    let reused = Payment::Reused { reference: "INV-1".into(), other: "first".into() };
    assert_eq!(reason(&|k| k.payment = reused.clone()), "PaymentReferenceUsed");
    let said = may_run(&RunInputs { payment: reused.clone(), ..keys() }).unwrap_err().to_string();
    assert!(said.contains("INV-1") && said.contains("first") && said.contains("settle"), "{said}");
    assert_eq!(reason(&|k| k.policies = Err("gone".into())), "PoliciesMissing");
    assert_eq!(reason(&|k| k.signatures = Err(Distrust::DenialReversed)), "DenialReversed");
    assert_eq!(reason(&|k| (k.mode, k.four_eyes) = (Mode::Undo, FourEyes::FullRestore)), "ApproverIsRequester");
    assert_eq!(reason(&|k| k.four_eyes = FourEyes::All), "ApproverIsRequester");
    assert_eq!(reason(&|k| (k.four_eyes, k.requested_by) = (FourEyes::FullRestore, None)), "ApproverIsRequester");
}

proptest! {
    #[test]
    fn i1_i6_nothing_opens_without_both_keys_from_two_hands(
        eligible: bool, held: bool, approval in 0..3, paid: bool, same_hand: bool, intact: bool,
    ) {
        let k = RunInputs {
            eligible, held,
            approval: match approval {
                0 => Approval::Undecided,
                1 => Approval::Denied { by: "anna".into(), why: String::new() },
                _ => Approval::Approved { by: "anna".into() },
            },
            payment: match (paid, same_hand) {
                (false, _) => Payment::Open,
                (true, true) => Payment::Paid { by: "anna".into() },
                (true, false) => Payment::Paid { by: "billing".into() },
            },
            policies: if intact { Ok(()) } else { Err("weakened".into()) },
            ..keys()
        };
        let expected = eligible && held && approval == 2 && paid && !same_hand && intact;
        prop_assert_eq!(may_run(&k).is_ok(), expected);
    }
}

fn undo_refusal(mutate: impl Fn(&mut undo::UndoTarget<'_>)) -> Option<&'static str> {
    let (account, wanted) = (account(), RequestedBackup::Day("2026-11-20".parse().unwrap()));
    let evidence = GateInputs {
        mode: Mode::Undo,
        wanted: &wanted,
        requester: "17",
        schedule_name: "acme",
        schedule: Some(&account),
        missing_reference: None,
        active_request: None,
        retention_days: 7,
        backups: Ok(&[]),
        pinned: None,
    };
    let mut undone = undo::UndoTarget {
        name: "r",
        same_schedule: true,
        swapped: true,
        undo_until: Some("2026-11-24T00:00:00Z".parse().unwrap()),
        database_gone: false,
        replaced_by: None,
        held_for_this_request: false,
        requested_at: "2026-11-23T00:00:00Z".parse().unwrap(),
    };
    mutate(&mut undone);
    undo::check_undo(&evidence, "r", Some(&undone)).err().map(|r| r.reason())
}

#[test]
fn a_restore_can_be_undone_while_what_it_replaced_is_there_and_nothing_came_after_it() {
    assert_eq!(undo_refusal(|_| ()), None);
    assert_eq!(undo_refusal(|u| u.same_schedule = false), Some("NotUndoable"));
    assert_eq!(undo_refusal(|u| u.swapped = false), Some("NotUndoable"));
    assert_eq!(undo_refusal(|u| u.database_gone = true), Some("PreviousDatabaseGone"));
    assert_eq!(undo_refusal(|u| u.replaced_by = Some("later")), Some("ReplacedSince"));
    let late = |u: &mut undo::UndoTarget<'_>| u.requested_at = u.undo_until.unwrap();
    assert_eq!(undo_refusal(late), Some("UndoWindowClosed"));
    assert_eq!(undo_refusal(|u| (late(u), u.held_for_this_request = true).0), None, "held from creation to its end");
}

#[test]
fn i2_a_payment_reference_belongs_to_whoever_spent_it_else_to_the_first() {
    let at = |day: &str| -> DateTime<Utc> { format!("2026-11-{day}T00:00:00Z").parse().unwrap() };
    let other = |name: &str, day: &str, spent| SameReference { name: name.into(), spent, created: at(day) };
    let holder = |others: &[SameReference]| reference_holder("m", at("10"), others).map(|o| o.name.clone());
    assert_eq!(holder(&[]), None);
    assert_eq!(holder(&[other("older", "09", false)]).as_deref(), Some("older"));
    assert_eq!(holder(&[other("younger", "11", false)]), None);
    assert_eq!(holder(&[other("younger", "11", true)]).as_deref(), Some("younger"), "it ran already");
    assert_eq!(holder(&[other("a", "10", false)]).as_deref(), Some("a"), "created in the same second");
    assert_eq!(holder(&[other("z", "10", false)]), None);
    assert_eq!(holder(&[other("older", "09", false), other("ran", "11", true)]).as_deref(), Some("ran"));
}

proptest! {
    #[test]
    fn i2_of_requests_with_one_reference_at_most_one_goes_on(
        requests in prop::collection::vec((0u32..5, prop::bool::weighted(0.1)), 1..8),
    ) {
        let all: Vec<SameReference> = requests.iter().enumerate().map(|(n, (second, spent))| SameReference {
            name: format!("r{n}"), spent: *spent, created: DateTime::from_timestamp(i64::from(*second), 0).unwrap(),
        }).collect();
        let free = all.iter().filter(|me| !me.spent).filter(|me| {
            let others: Vec<SameReference> = all.iter().filter(|o| o.name != me.name).cloned().collect();
            reference_holder(&me.name, me.created, &others).is_none()
        }).count();
        let spent = all.iter().filter(|o| o.spent).count();
        prop_assert_eq!(free, usize::from(spent == 0));
    }
}

#[test]
fn what_the_schedule_names_and_is_away_ends_nothing() {
    let refused = |away: Option<&'static str>, there: bool| {
        let (account, wanted) = (account(), RequestedBackup::Day("2026-11-20".parse().unwrap()));
        let evidence = GateInputs {
            mode: Mode::CrmExport,
            wanted: &wanted,
            requester: "17",
            schedule_name: "acme",
            schedule: there.then_some(&account),
            missing_reference: away,
            active_request: None,
            retention_days: 7,
            backups: Ok(&[]),
            pinned: None,
        };
        resolve(&evidence).unwrap_err()
    };
    let server = refused(Some("DatabaseServer \"pg-1\""), false);
    assert!(server.is_temporary() && server.to_string().contains("pg-1"), "{server}");
    assert_eq!(server.reason(), "ReferenceGone");
    assert!(refused(Some("BackupStorage \"main\""), true).is_temporary());
    assert!(!refused(None, false).is_temporary(), "the schedule itself does not come back");
}

#[test]
fn i1_only_what_can_open_without_a_signature_may_pass() {
    let passing = [RunRefusal::NotEligible, RunRefusal::NotHeld, RunRefusal::PoliciesMissing(String::new())];
    assert!(passing.iter().all(RunRefusal::is_temporary));
    let final_ = [
        RunRefusal::AwaitingApproval,
        RunRefusal::AwaitingPayment,
        RunRefusal::ApproverIsPayer(String::new()),
        RunRefusal::ApproverIsRequester(String::new()),
        RunRefusal::Denied { by: String::new(), why: String::new() },
        RunRefusal::PaymentReferenceUsed { reference: String::new(), other: String::new() },
        RunRefusal::Distrusted(Distrust::DenialReversed),
    ];
    assert!(!final_.iter().any(RunRefusal::is_temporary));
    assert!(RunRefusal::Distrusted(Distrust::SignaturesUnknown).is_temporary());
}
