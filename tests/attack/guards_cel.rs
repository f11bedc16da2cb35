//! Each expression of the policies and each rule of the definition is needed: taken away alone, at least one case of the
//! table that must be refused gets through. Where two guards hold the same door, either alone still holds it, and only
//! without both does somebody pass. Nothing is written: every attempt is a dry run.

use crate::forging::{Unstamped, until_so};
use crate::gate::Gate;
use crate::how::{Case, How, Want};
use crate::scene::{Scene, Senders, furnish};
use crate::table::{self, unstamped};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use testkit::world::World;

/// A way to weaken the gate.
struct Mutant {
    /// In words.
    what: &'static str,
    /// Each by itself must hold the door; all of them together open it.
    cuts: &'static [fn(&mut Gate)],
    /// What the refused attempts are told, while it is whole.
    said: &'static str,
    /// Only where nothing stamps names.
    unstamped: bool,
}

const STATUS: &str = "sennight-restorerequest-status";
const JOBS: &str = "sennight-restore-jobs";
const PODS: &str = "sennight-restore-pods";
const S: &str = "/properties/status";

const fn cut(what: &'static str, said: &'static str, cuts: &'static [fn(&mut Gate)]) -> Mutant {
    Mutant { what, cuts, said, unstamped: false }
}

const fn bare(what: &'static str, said: &'static str, cuts: &'static [fn(&mut Gate)]) -> Mutant {
    Mutant { what, cuts, said, unstamped: true }
}

const APPROVE: &str = "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).name(request.name).check('approve').allowed()";
const SETTLE: &str = "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).name(request.name).check('settle').allowed()";
const OPERATE: &str = "authorizer.group('sennight.dev').resource('restorerequests').namespace(request.namespace).name(request.name).check('operate').allowed()";
const APPROVER: &str = "has(object.status) && has(object.status.approval) && has(object.status.approval.by) && object.status.approval.by == request.userInfo.username";
const PAYER: &str = "has(object.status) && has(object.status.payment) && has(object.status.payment.by) && object.status.payment.by == request.userInfo.username";
const HELPDESK: &str = "takes the verb approve";
const BILLING: &str = "take the verb settle";
const REST: &str = "this part of status is the operator's";
const ONE_HAND: &str = "may not record the payment";
const TOO_LATE: &str = "too late";
const EQUAL_PAID: &str = "(has(oldObject.status) && has(oldObject.status.conditions) ? oldObject.status.conditions.filter(c, c.type == 'Paid') : []) == (has(object.status) && has(object.status.conditions) ? object.status.conditions.filter(c, c.type == 'Paid') : [])";
const EQUAL_OTHERS: &str = "(has(oldObject.status) && has(oldObject.status.conditions) ? oldObject.status.conditions.filter(c, c.type != 'Paid') : []) == (has(object.status) && has(object.status.conditions) ? object.status.conditions.filter(c, c.type != 'Paid') : [])";
const REFUND: &str = "((!(has(object.status) && has(object.status.payment)) || object.status.payment.all(k, k == 'refund' || (has(oldObject.status) && has(oldObject.status.payment) && k in oldObject.status.payment && oldObject.status.payment[k] == object.status.payment[k]))) && (!(has(oldObject.status) && has(oldObject.status.payment)) || oldObject.status.payment.all(k, k == 'refund' || (has(object.status) && has(object.status.payment) && k in object.status.payment)))";

/// Replaces a piece of the status policy's rule that says so.
fn weaken(gate: &mut Gate, rule: &str, piece: &str, by: &str) {
    gate.expression(STATUS, "validations", rule, piece, by);
}

/// The policies' expressions.
#[rustfmt::skip]
const POLICIES: &[Mutant] = &[
    cut("validation: the verb approve", HELPDESK, &[|g| weaken(g, HELPDESK, APPROVE, "true")]),
    cut("validation: the verb settle", BILLING, &[|g| weaken(g, BILLING, SETTLE, "true")]),
    cut("validation: the verb operate", REST, &[|g| weaken(g, REST, OPERATE, "true")]),
    bare("validation: the approver's name", "status.approval.by must be", &[|g| weaken(g, HELPDESK, "object.status.approval.by == request.userInfo.username", "true")]),
    bare("validation: the payer's name", "status.payment.by must be", &[|g| weaken(g, BILLING, "object.status.payment.by == request.userInfo.username", "true")]),
    bare("validation: the refunder's name", "for a refund payment.refund.by", &[|g| weaken(g, BILLING, "object.status.payment.refund.by == request.userInfo.username", "true")]),
    cut("validation: two hands", ONE_HAND, &[|g| g.validation(STATUS, 3)]),
    cut("validation: the payment in time", "only payment.refund", &[|g| g.validation(STATUS, 4)]),
    cut("validation: not after the claim", "only payment.refund", &[|g| weaken(g, TOO_LATE, "has(oldObject.status.claim)", "false")]),
    cut("validation: not after the end", "only payment.refund", &[|g| weaken(g, TOO_LATE, "has(oldObject.status.finishedAt)", "false")]),
    cut("validation and rule: the approval in time", "its approval no longer changes", &[|g| g.validation(STATUS, 4), |g| g.rule(S, "its approval no longer changes")]),
    cut("validation and rule: Paid in time", "record payment.refund instead", &[|g| g.validation(STATUS, 4), |g| g.rule(S, "record payment.refund instead")]),
    cut("validation: not while it is deleted", "is being deleted", &[|g| weaken(g, TOO_LATE, "has(object.metadata.deletionTimestamp)", "false")]),
    cut("validation: an approval comes", HELPDESK, &[|g| weaken(g, HELPDESK, "has(oldObject.status) && has(oldObject.status.approval) && object.status.approval ==", "!(has(oldObject.status) && has(oldObject.status.approval)) || object.status.approval ==")]),
    cut("validation: an approval changes", HELPDESK, &[|g| weaken(g, HELPDESK, "object.status.approval == oldObject.status.approval", "true")]),
    bare("validation: Paid changes", BILLING, &[|g| weaken(g, BILLING, &format!("{EQUAL_PAID}) || ({SETTLE}"), &format!("true) || ({SETTLE}"))]),
    cut("validation: a payment comes", BILLING, &[|g| weaken(g, BILLING, "has(oldObject.status) && has(oldObject.status.payment) && object.status.payment ==", "!(has(oldObject.status) && has(oldObject.status.payment)) || object.status.payment ==")]),
    cut("validation: a payment changes", BILLING, &[|g| weaken(g, BILLING, "object.status.payment == oldObject.status.payment", "true")]),
    cut("exception: only the refund comes", "only payment.refund", &[|g| weaken(g, TOO_LATE, "k in oldObject.status.payment && oldObject.status.payment[k] == object.status.payment[k]", "true")]),
    bare("exception: a refund and Paid as it was", "status.payment.by must be", &[|g| weaken(g, BILLING, &format!("{REFUND} && {EQUAL_PAID}"), &format!("{REFUND} && true"))]),
    cut("validation: another key comes or changes", REST, &[|g| weaken(g, REST, "k in oldObject.status && oldObject.status[k] == object.status[k]", "true")]),
    cut("validation: another key goes", REST, &[|g| weaken(g, REST, "has(object.status) && k in object.status)", "true)")]),
    cut("validation: another condition changes", REST, &[|g| weaken(g, REST, EQUAL_OTHERS, "true")]),
    bare("validation: the creator's name", "spec.requestedBy must be", &[|g| g.validation("sennight-restorerequest-create", 0)]),
    cut("validation: reserved names", "a RestoreRequest that is approved and paid", &[|g| g.validation(JOBS, 0)]),
    cut("match: reserved by name", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "acts-for-a-restore-request", "object.metadata.name.contains('-sennight-restore')", "false")]),
    cut("match: reserved by label", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "acts-for-a-restore-request", "object.metadata.labels[k].contains('-sennight-restore')", "false")]),
    cut("match: reserved by the old label", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "acts-for-a-restore-request", ", 'job-name'", "")]),
    cut("match: reserved by owner", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "acts-for-a-restore-request", "o.name.contains('-sennight-restore')", "false")]),
    cut("match: a dump's or a drill's name", "a RestoreRequest that is approved and paid", &[|g| {
        g.expression(JOBS, "matchConditions", "acts-for-a-restore-request", "object.metadata.name.startsWith('sennight-dump-') || object.metadata.name.startsWith('sennight-drill-')", "false");
    }]),
    cut("match: another template of a dump's Job", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "object.spec.template != oldObject.spec.template", "false")]),
    cut("match: another outcome", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "(has(request.subResource) && request.subResource == 'status')", "false")]),
    cut("match: another spec", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "object.spec != oldObject.spec", "false")]),
    cut("match: other labels", "a RestoreRequest that is approved and paid", &[|g| g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "object.metadata.labels != oldObject.metadata.labels", "false")]),
    cut("match: another owner", "a RestoreRequest that is approved and paid", &[|g| {
        g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "has(object.metadata.ownerReferences) != has(oldObject.metadata.ownerReferences)", "false");
        g.expression(JOBS, "matchConditions", "is-new-or-does-something-else", "object.metadata.ownerReferences != oldObject.metadata.ownerReferences", "false");
    }]),
    cut("match: pods", "a RestoreRequest that is approved and paid", &[|g| g.unwatch(JOBS, "pods")]),
    cut("match: a Job's status", "a RestoreRequest that is approved and paid", &[|g| g.unwatch(JOBS, "jobs/status")]),
    cut("validation: nobody enters", "nobody enters the pod", &[|g| g.validation(PODS, 0)]),
    cut("match: a dump's pod is entered", "nobody enters the pod", &[|g| g.expression(PODS, "matchConditions", "is-a-workers-pod", "request.name.startsWith('sennight-dump-')", "false")]),
    cut("match: a drill's pod is entered", "nobody enters the pod", &[|g| g.expression(PODS, "matchConditions", "is-a-workers-pod", "request.name.startsWith('sennight-drill-')", "false")]),
    cut("match: exec", "nobody enters the pod", &[|g| g.unwatch(PODS, "pods/exec")]),
    cut("match: attach", "nobody enters the pod", &[|g| g.unwatch(PODS, "pods/attach")]),
    cut("match: port-forward", "nobody enters the pod", &[|g| g.unwatch(PODS, "pods/portforward")]),
    cut("match: containers for debugging", "nobody enters the pod", &[|g| g.unwatch(PODS, "pods/ephemeralcontainers")]),
];

/// The definition's rules.
#[rustfmt::skip]
const RULES: &[Mutant] = &[
    cut("rule: status stays", "status never vanishes", &[|g| g.rule("", "status never vanishes")]),
    cut("rule: the spec stays", "spec is immutable", &[|g| g.rule("/properties/spec", "spec is immutable")]),
    cut("rule: the conditions stay", "use kubectl apply --server-side --subresource=status", &[|g| g.rule(S, "conditions never vanish")]),
    cut("rule: each condition stays", "conditions never vanish", &[|g| g.rule("/properties/status/properties/conditions", "conditions never vanish")]),
    cut("rule and validation: a decision stays", "a decision is final and never vanishes", &[|g| g.rule(S, "a decision is final and never vanishes"), |g| weaken(g, HELPDESK, APPROVER, "true")]),
    cut("rule and validation: a payment stays", "payment never vanishes", &[|g| g.rule(S, "payment never vanishes"), |g| weaken(g, BILLING, PAYER, "true")]),
    cut("rule: a denial is final", "a decision is final", &[|g| g.rule("/properties/status/properties/approval", "a decision is final")]),
    cut("rule: the pinned backup stays", "pinned once and never taken back", &[|g| g.rule(S, "never taken back")]),
    cut("rule: the pinned backup is that one", "never re-chosen", &[|g| g.rule("/properties/status/properties/backup", "never re-chosen")]),
    cut("rule: the claim stays", "never vanishes", &[|g| g.rule(S, "the claim is the point of no return")]),
    cut("rule: one claim", "claimed once", &[|g| g.rule("/properties/status/properties/claim", "claimed once")]),
    cut("rule: the end stays", "never runs again", &[|g| g.rule(S, "never runs again")]),
    cut("rule: no claim after the end", "cannot be claimed any more", &[|g| g.rule(S, "cannot be claimed any more")]),
    cut("rule: a refund after the end", "once the request has ended", &[|g| g.rule(S, "once the request has ended")]),
    cut("rule: a refund stays", "written once and never changes", &[|g| g.rule(S, "written once and never changes")]),
    cut("pattern: a condition's type", "should match", &[|g| g.schema("/properties/status/properties/conditions/items/properties/type/pattern", json!(".*"))]),
    cut("enum: a decision", "Unsupported value", &[|g| g.schema("/properties/status/properties/approval/properties/decision/enum", json!(["Approved", "Denied", "approved"]))]),
];

#[test]
fn the_documented_table_has_every_guard() {
    let page = testkit::file("docs/authority.md");
    for mutant in POLICIES.iter().chain(RULES) {
        assert!(page.contains(&format!("| {} | ", mutant.what)), "docs/authority.md does not list {:?}", mutant.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_every_guard_in_cel_is_needed() {
    let world = World::on_api("guards").with_people().alone().await;
    let senders = Senders::default();
    furnish(&world).await;
    lay_all(&world).await;
    let mut all: Vec<&Mutant> = POLICIES.iter().chain(RULES).collect();
    assert!(all.len() >= 12);
    all.shuffle(&mut rand::rngs::StdRng::seed_from_u64(crate::seed("guards in CEL")));
    all.truncate(crate::part("guards in CEL", all.len(), 6));
    let mut survivors = vec![];
    let with_stamps = all.iter().filter(|mutant| !mutant.unstamped);
    let table = table::table();
    for mutant in with_stamps {
        survivors.extend(kill(mutant, &world, &senders, &table).await);
    }
    let without = Unstamped::new(&world).await;
    let table = unstamped();
    for mutant in all.iter().filter(|mutant| mutant.unstamped) {
        survivors.extend(kill(mutant, &world, &senders, &table).await);
    }
    without.back().await;
    println!("guards in CEL: {} taken away one by one, {} not missed", all.len(), survivors.len());
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}

fn name(scene: Scene) -> String {
    format!("scene-{scene:?}").to_lowercase()
}

async fn lay_all(world: &World) {
    let mut seen = std::collections::HashSet::new();
    for case in table::table().iter().chain(&unstamped()) {
        if seen.insert(case.on) {
            case.on.lay(world, &name(case.on)).await;
        }
    }
}

/// Takes a guard away and tells whether somebody passes; puts it back. `Some` is a fault.
async fn kill(mutant: &Mutant, world: &World, senders: &Senders, table: &[Case]) -> Option<String> {
    let attempts: Vec<&Case> = table
        .iter()
        .filter(|case| {
            case.can_be_dry()
                && matches!(&case.want, Want::Refused(text) | Want::Barred(text) if matches(text, mutant.said))
        })
        .collect();
    let shipped = Gate::shipped();
    // One of several guards at the same door is enough.
    if mutant.cuts.len() > 1 {
        for cut in mutant.cuts {
            let mut weak = shipped.clone();
            cut(&mut weak);
            weak.enforce(&shipped, senders).await;
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            let passed = first(&attempts, world, senders).await;
            shipped.enforce(&weak, senders).await;
            if let Some(passed) = passed {
                return Some(format!("- {}: one of the guards alone does not hold against: {passed}", mutant.what));
            }
        }
        in_force(&attempts, world, senders).await;
    }
    let mut weak = shipped.clone();
    mutant.cuts.iter().for_each(|cut| cut(&mut weak));
    weak.enforce(&shipped, senders).await;
    let mut passed = None;
    for _ in 0..60 {
        passed = first(&attempts, world, senders).await;
        if passed.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    shipped.enforce(&weak, senders).await;
    in_force(&attempts, world, senders).await;
    match passed {
        Some(case) => {
            println!("  without {}: {case}", mutant.what);
            None
        }
        None => Some(format!("- {}: nobody of {} passes without it", mutant.what, attempts.len())),
    }
}

fn matches(text: &str, said: &str) -> bool {
    text.contains(said) || said.contains(text)
}

/// The first attempt that gets past admission.
async fn first(attempts: &[&Case], world: &World, senders: &Senders) -> Option<String> {
    for case in attempts {
        if passes(&dry(case, world, senders).await) {
            return Some(case.line());
        }
    }
    None
}

async fn dry(case: &Case, world: &World, senders: &Senders) -> Result<Value, String> {
    // Nothing is kept of a CONNECT either; it knows no dry run.
    let connects = matches!(&case.how, How::Raw(_, path, _, _) if ["/exec", "/attach", "/portforward"].iter().any(|end| path.contains(end)));
    case.tried(world, senders, &name(case.on), !connects).await
}

fn passes(answer: &Result<Value, String>) -> bool {
    match answer {
        Ok(_) => true,
        Err(said) => said.contains("does not have a host assigned"),
    }
}

/// Waits until the whole gate is in force again.
async fn in_force(attempts: &[&Case], world: &World, senders: &Senders) {
    until_so("the gate is whole again", async |_| {
        for case in attempts {
            if case.fault(&dry(case, world, senders).await).is_some() {
                return false;
            }
        }
        true
    })
    .await;
}
