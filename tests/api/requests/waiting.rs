//! Waiting well: people are reminded, one payment is one restore, one request a tenant, money goes back, and what was
//! allowed can be withdrawn until the claim.

use chrono::{TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use sennight_api::ConditionStatus::{False, True};
use sennight_api::RestoreRequest;
use sennight_api::admission;
use sennight_operator::worker_job::labels;
use serde_json::json;
use std::time::Duration;
use testkit::cluster::{self, BILLING, HELPDESK, until};
use testkit::world::{World, holds};

const FULL: &str = r#"{"mode": "FullRestore", "acknowledgeDataLoss": true}"#;

fn full() -> serde_json::Value {
    serde_json::from_str(FULL).unwrap()
}

/// How often an Event about `name` with this reason was told.
async fn told(world: &World, name: &str, reason: &str) -> i32 {
    let events: Api<Event> = world.api();
    let all = events.list(&ListParams::default()).await.unwrap();
    let meant = all.iter().filter(|event| {
        event.reason.as_deref() == Some(reason)
            && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
    });
    meant.map(|event| event.series.as_ref().map_or(1, |series| series.count)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_people_are_reminded_half_way_once_also_when_the_operator_is_restarted() {
    let world = World::on_servers("reminder").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let patient = ["--approval-deadline=90s"];
    let mut operator = world.operator(&patient);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.tells("r", "DeadlineNear").await;
    let status = world.get("r").await.status.unwrap();
    let created = status.deadline.unwrap() - TimeDelta::seconds(90);
    assert_eq!(status.reminded_at, Some(created + TimeDelta::seconds(45)));
    assert_eq!(status.waiting_on.unwrap().to_string(), "Helpdesk");
    let address = operator.address().await;
    let metrics = testkit::operator::get(address, "/metrics").await;
    assert!(metrics.contains("sennight_reminders_total{waiting_on=\"Helpdesk\"} 1"), "{metrics}");
    world.restart_with(&mut operator, &patient).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(told(&world, "r", "DeadlineNear").await, 1);
    assert_eq!(world.get("r").await.status.unwrap().reminded_at, status.reminded_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_payment_reference_pays_for_one_request_and_the_other_says_which() {
    let world = World::on_servers("reference").await;
    let (one, two) = (world.tenant("one").await, world.tenant("two").await);
    let backup = world.backup(&one).await;
    world.backup(&two).await;
    world.request(&one, "first", backup.day, json!({})).await;
    // Creation times are whole seconds; the order must not hang on the names.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.request(&two, "again", backup.day, json!({})).await;
    world.pay_with("first", "INV-7").await;
    world.pay_with("again", "INV-7").await;
    world.decide("again", "Approved").await;
    let _operator = world.operator(&[]);
    world.refused("again", "Progressing", False, "PaymentReferenceUsed").await;
    let status = world.get("again").await.status.unwrap();
    let told = status.conditions.iter().find(|c| c.type_ == "Progressing").unwrap().message.clone().unwrap();
    assert!(told.contains("\"INV-7\"") && told.contains("\"first\""), "{told}");
    assert_eq!(status.waiting_on.unwrap().to_string(), "Billing");
    assert!(status.deadline.is_some(), "I10");

    // Billing corrects it; the one that was there first keeps its payment.
    world.pay_with("again", "INV-8").await;
    let job = world.step("export").await;
    assert_eq!(world.get("again").await.status.unwrap().claim.unwrap().job, job);
    // What has been spent belongs to whoever spent it, older or not.
    world.pay_with("first", "INV-8").await;
    world.decide("first", "Approved").await;
    world.says("first", "Progressing", False, "PaymentReferenceUsed").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.locked_jobs().await, [job]);
    assert_eq!(world.get("first").await.status.unwrap().claim, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_and_denied_waits_for_billings_refund_and_then_for_nobody() {
    let world = World::on_servers("refund").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.pay("r").await;
    world.decide("r", "Denied").await;
    let _operator = world.operator(&["--request-retention=1s"]);
    world.says("r", "RefundDue", True, "PaidAndNotDelivered").await;
    until("it waits for billing", async || {
        world.get("r").await.status.unwrap().waiting_on.is_some_and(|on| on.to_string() == "Billing")
    })
    .await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!(status.deadline.unwrap(), status.finished_at.unwrap() + TimeDelta::days(14), "I10");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.get("r").await.status.is_some(), "it stays until the money went back, whatever the retention");

    let refund = json!({"status": {"payment": {"refund": {"reference": "R-1"}}}});
    let params = PatchParams::default();
    let helpdesk = world.requests(HELPDESK).await;
    assert!(helpdesk.patch_status("r", &params, &Patch::Merge(&refund)).await.is_err(), "I6: that is billing's");
    world.requests(BILLING).await.patch_status("r", &params, &Patch::Merge(&refund)).await.unwrap();
    until("it goes", async || {
        let left = world.api::<RestoreRequest>().get_opt("r").await.unwrap().and_then(|r| r.status);
        left.is_none_or(|s| holds(&s.conditions, "RefundDue", False, "RefundRecorded"))
    })
    .await;
    until("its time as a record is over", async || world.api::<RestoreRequest>().get_opt("r").await.unwrap().is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_second_request_is_refused_and_names_the_first() {
    let world = World::on_servers("rival").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    world.request(&tenant, "first", backup.day, json!({})).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.request(&tenant, "another", backup.day, json!({})).await;
    world.sign("another").await;
    let _operator = world.operator(&[]);
    world.refused("another", "Eligible", False, "ActiveRequestExists").await;
    let status = world.get("another").await.status.unwrap();
    let told = status.conditions.iter().find(|c| c.type_ == "Eligible").unwrap().message.clone().unwrap();
    assert!(told.contains("\"first\""), "{told}");
    world.says("first", "Held", True, "HoldPlaced").await;
    world.says("first", "Progressing", False, "AwaitingApproval").await;
    world.says("another", "RefundDue", True, "PaidAndNotDelivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_restores_asks_for_an_upgrade_until_it_is_paid() {
    let world = World::on_servers("plan").await;
    let tenant = world.tenant("acme").await;
    let free = json!({"id": "id-acme", "owner": "1", "plan": {"name": "free", "includesRestore": false}});
    world.schedule(&tenant, json!({"suspend": true, "tenant": free}));
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, json!({})).await;
    world.decide("r", "Approved").await;
    world.refused("r", "Eligible", False, "PlanUpgradeRequired").await;
    world.says("r", "Progressing", False, "AwaitingPayment").await;
    world.pay("r").await;
    let job = world.step("export").await;
    assert_eq!(world.get("r").await.status.unwrap().claim.unwrap().job, job);
    world.says("r", "Eligible", True, "Possible").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_approval_withdrawn_while_preparing_ends_it_and_its_job() {
    let world = World::on_servers("withdrawn").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, full()).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    let estimate = world.get("r").await.status.unwrap().estimate.unwrap();
    assert!(estimate.duration_seconds.is_some_and(|s| s >= 60) && estimate.downtime_millis.is_some(), "{estimate:?}");
    assert!(estimate.basis.unwrap().starts_with("an estimate") && estimate.not_contained[0].contains("lost"));
    world.sign("r").await;
    let prepare = world.step("prepare").await;
    until("the operator knows its Job", async || {
        world.get("r").await.status.unwrap().jobs.iter().any(|job| job.name == prepare)
    })
    .await;
    world.decide("r", "Denied").await;
    world.says("r", "Failed", True, "Denied").await;
    world.says("r", "RefundDue", True, "PaidAndNotDelivered").await;
    until("nobody prepares for nobody", async || world.api::<Job>().get_opt(&prepare).await.unwrap().is_none()).await;
    let status = world.get("r").await.status.unwrap();
    assert_eq!((status.claim, status.phase.unwrap().to_string().as_str()), (None, "Denied"));
    assert_eq!(tenant.database.count("SELECT count(*) FROM contacts").await, 100);
    world.says("r", "Held", False, "Released").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_over_waits_for_its_window_and_is_not_begun_after_it() {
    let world = World::on_servers("window").await;
    let (early, late) = (world.tenant("early").await, world.tenant("late").await);
    let backup = world.backup(&early).await;
    world.backup(&late).await;
    let _operator = world.operator(&[]);
    let window = |window: serde_json::Value| {
        let mut fields = full();
        fields["window"] = window;
        fields
    };
    let begin = Utc::now() + TimeDelta::hours(1);
    world.request(&early, "early", backup.day, window(json!({"notBefore": begin}))).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("early").await;
    assert_eq!(world.run(&world.step("prepare").await).await, 0);
    world.says("early", "Progressing", False, "AwaitingWindow").await;
    let status = world.get("early").await.status.unwrap();
    assert_eq!((status.claim, status.waiting_on.unwrap().to_string().as_str()), (None, "Queue"));
    assert!(status.prepared.is_some() && status.deadline.is_some(), "I10");

    // One that ends while it is prepared ends the request, and its Job.
    let end = Utc::now() + TimeDelta::seconds(45);
    world.request(&late, "late", backup.day, window(json!({"notAfter": end}))).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("late").await;
    let prepare = world.step("prepare").await;
    world.says("late", "Failed", True, "WindowMissed").await;
    until("nobody prepares for nobody", async || world.api::<Job>().get_opt(&prepare).await.unwrap().is_none()).await;
    let cutover =
        |job: &Job| job.metadata.labels.as_ref().is_some_and(|l| l.get(labels::STEP).is_some_and(|s| s == "cutover"));
    assert!(!world.jobs().await.iter().any(cutover), "no cut-over outside of its window");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_which_nothing_can_be_done_is_refused_before_anybody_decides() {
    let world = World::on_servers("windows").await;
    let (over, far) = (world.tenant("over").await, world.tenant("far").await);
    let backup = world.backup(&over).await;
    world.backup(&far).await;
    let _operator = world.operator(&[]);
    let mut fields = full();
    fields["window"] = json!({"notAfter": Utc::now() - TimeDelta::seconds(1)});
    world.request(&over, "over", backup.day, fields.clone()).await;
    fields["window"] = json!({"notBefore": Utc::now() + TimeDelta::days(60)});
    world.request(&far, "far", backup.day, fields).await;
    world.says("over", "Failed", True, "WindowMissed").await;
    world.says("far", "Failed", True, "WindowBeyondHold").await;
    for name in ["over", "far"] {
        let status = world.get(name).await.status.unwrap();
        assert_eq!((status.approval, status.payment, status.jobs.len()), (None, None, 0), "{name}");
    }
    world.says("far", "Held", False, "Released").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_die_while_preparing_cost_time_and_not_the_request() {
    let world = World::on_servers("drained").await;
    let tenant = world.tenant("acme").await;
    let backup = world.backup(&tenant).await;
    let mut operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, full()).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("r").await;
    // As many as end a request where each counts against it.
    for attempt in 1..=3 {
        let prepare = world.step("prepare").await;
        assert!(prepare.contains(&format!("-prepare-a{attempt}-")), "{prepare}");
        world.evict(&prepare).await;
        if attempt == 2 {
            world.restart(&mut operator).await;
        }
    }
    world.says("r", "Progressing", True, "PrepareLost").await;
    let status = world.get("r").await.status.unwrap();
    let told = status.conditions.iter().find(|c| c.type_ == "Progressing").unwrap().message.clone().unwrap();
    assert!(told.contains("failed: ") && told.contains("the next one begins at"), "{told}");
    assert!(status.deadline.is_some() && status.claim.is_none(), "I10, and nothing is claimed");
    assert_eq!(world.run(&world.step("prepare").await).await, 0);
    assert_eq!(world.run(&world.step("cutover").await).await, 0);
    world.says("r", "Complete", True, "Restored").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepare_that_is_held_up_says_how_far_it_is() {
    let world = World::on_servers("progress").await;
    let tenant = world.tenant("acme").await;
    tenant.database.run("CREATE TABLE nothing (id int PRIMARY KEY)").await;
    let backup = world.backup(&tenant).await;
    // Longer than the worker keeps silent.
    world.hooks(&json!({"10-slow.sql": "SELECT pg_sleep(600)"}));
    let _operator = world.operator(&[]);
    world.request(&tenant, "r", backup.day, full()).await;
    assert_eq!(world.run(&world.step("preflight").await).await, 0);
    world.sign("r").await;
    let container = world.start(&world.step("prepare").await).await;
    until("it says how far it is", async || world.get("r").await.status.unwrap().progress.is_some()).await;
    let status = world.get("r").await.status.unwrap();
    let progress = status.progress.unwrap();
    assert_eq!(progress.stage.as_deref(), Some("Hooks"));
    assert_eq!((progress.rows, progress.total_rows), (100, Some(100)));
    assert_eq!((progress.tables, progress.total_tables), (2, Some(2)), "also the one without rows");
    assert_eq!(progress.total_bytes, Some(progress.bytes));
    assert!(progress.expected_end.is_some_and(|end| end > progress.at), "{progress:?}");
    world.decide("r", "Denied").await;
    world.says("r", "Failed", True, "Denied").await;
    assert_eq!(world.get("r").await.status.unwrap().progress, None);
    // The node ends it with its Job.
    drop(container);
}

/// The policy of `gate.fourEyes: All`; without it an operator with that setting runs nothing.
struct FourEyes;

impl FourEyes {
    fn installed() -> Self {
        let documents: Vec<String> =
            admission::four_eyes(true).iter().map(|guard| guard.object().to_string()).collect();
        cluster::apply(&documents.join("\n---\n"));
        Self
    }
}

impl Drop for FourEyes {
    fn drop(&mut self) {
        for guard in admission::four_eyes(true) {
            cluster::kubectl_ok(&["delete", guard.kind, guard.name], "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_with_four_eyes_whoever_asked_cannot_approve() {
    let world = World::on_servers("eyes").alone().await;
    let (one, two) = (world.tenant("one").await, world.tenant("two").await);
    let backup = world.backup(&one).await;
    world.backup(&two).await;
    world.request(&one, "own", backup.day, json!({})).await;
    // Admission would refuse this approval: it comes before the policy, and the operator refuses it by itself.
    world.sign("own").await;
    let _policy = FourEyes::installed();
    let _operator = world.operator(&["--four-eyes=All"]);
    world.refused("own", "Progressing", False, "ApproverIsRequester").await;
    // The same by another hand: somebody else created it.
    let mut object = world.get("own").await;
    object = RestoreRequest { status: None, metadata: kube::core::ObjectMeta::default(), ..object };
    object.metadata.name = Some("others".to_owned());
    (object.spec.schedule_ref.name, object.spec.requested_by) = (two.name.clone(), None);
    let made = world.api::<RestoreRequest>().create(&PostParams::default(), &object).await.unwrap();
    assert!(made.spec.requested_by.is_some_and(|by| by != HELPDESK));
    world.sign("others").await;
    let job = world.step("export").await;
    assert_eq!(world.get("others").await.status.unwrap().claim.unwrap().job, job);
    let _ = cluster::kubectl_ok(&["-n", &world.namespace, "get", "rreq"], "");
}
