//! Checks the gate of approval and payment: the admission policies exist, are as shipped, and refuse a forgery in a dry run.
//! If not, no restore runs (I6).

use crate::context::Context;
use crate::runtime::writes::FIELD_MANAGER;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use sennight_api::RestoreRequest;
use sennight_api::admission::{self, Forgery, Guard, Weakness};
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_status::Decision;
use sennight_core::authority::{self as rules, Distrust, OperatorIdentity};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// What is wrong with the gate. [`AuthorityFault::reason`] is the condition's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum AuthorityFault {
    /// A policy, a binding or the definition of RestoreRequest is not as shipped.
    #[error(
        "{kind} {name}: {} ({difference}); install the manifests or the chart of this version again, and look at what was approved and paid meanwhile; no restore runs until then",
        .weakness.meaning()
    )]
    Weakened {
        /// In which way.
        weakness: Weakness,
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Where it differs.
        difference: String,
    },
    /// A dry run of a forged write was not refused.
    #[error(
        "a forged {what} was not refused by the admission policies (dry run): somebody has weakened them, or they are not in force yet; no restore runs until then"
    )]
    ForgeryAccepted {
        /// What was forged.
        what: String,
    },
    /// The check itself failed.
    #[error("the admission policies cannot be checked: {why}; no restore runs until they can")]
    Unverifiable {
        /// What failed.
        why: String,
    },
}

impl AuthorityFault {
    /// CamelCase reason; for a weakened gate it says in which way.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Weakened { weakness, .. } => weakness.reason(),
            other => other.into(),
        }
    }
}

/// Result of the last check.
#[derive(Default)]
pub struct Authority {
    last: Mutex<Option<Result<(), AuthorityFault>>>,
    /// The operator's own user name, once the API server has answered.
    user: OnceLock<String>,
}

impl Authority {
    /// Result of the last check; `None` before the first.
    pub fn last(&self) -> Option<Result<(), AuthorityFault>> {
        self.last.lock().clone()
    }

    /// Stores a result; true when it differs from the last one.
    pub fn record(&self, now: Result<(), AuthorityFault>) -> bool {
        let mut last = self.last.lock();
        let changed = last.as_ref() != Some(&now);
        *last = Some(now);
        changed
    }

    /// Whether approval and payment on a request can have been written by the rules. A signature in the operator's own name
    /// cannot.
    pub fn check_signatures(&self, request: &RestoreRequest, setting: rules::FourEyes) -> Result<(), Distrust> {
        let object = serde_json::to_value(request).map_err(|_| Distrust::SignaturesUnknown)?;
        let own = OperatorIdentity { user: self.user.get().map(String::as_str), manager: FIELD_MANAGER };
        rules::check_signatures(&object, setting, own)
    }
}

/// All policies and bindings that must be in force, including the four-eyes policy if it is set.
fn guards(setting: rules::FourEyes) -> Vec<Guard> {
    let mut guards = admission::validating();
    match setting {
        rules::FourEyes::None => {}
        rules::FourEyes::FullRestore => guards.extend(admission::four_eyes(false)),
        rules::FourEyes::All => guards.extend(admission::four_eyes(true)),
    }
    guards
}

/// Checks that the policies and the CRD exist as shipped, by fresh reads. Called before every claim, together with
/// [`refuses_forgeries`].
pub async fn intact(client: &Client, setting: rules::FourEyes) -> Result<(), AuthorityFault> {
    let weakened = |weakness, kind: &str, name: &str, difference: String| AuthorityFault::Weakened {
        weakness,
        kind: kind.to_owned(),
        name: name.to_owned(),
        difference,
    };
    for guard in guards(setting) {
        let Some(live) = live(client, &guard).await? else {
            return Err(weakened(Weakness::missing(guard.kind), guard.kind, guard.name, "not there".to_owned()));
        };
        let live = serde_json::to_value(live).map_err(|error| unverifiable(&error))?;
        if let Some(place) = guard.difference(&live) {
            return Err(weakened(Weakness::of(&place), guard.kind, guard.name, place));
        }
    }
    let definition = admission::RESTORE_REQUESTS;
    // Read without a type, like the policies: a type would drop fields that it does not know.
    let definitions = ApiResource::erase::<CustomResourceDefinition>(&());
    let live = Api::<DynamicObject>::all_with(client.clone(), &definitions)
        .get(definition)
        .await
        .map_err(|error| unverifiable(&error))?;
    let live = serde_json::to_value(live).map_err(|error| unverifiable(&error))?;
    match admission::schema_difference(&live) {
        Some(place) => Err(weakened(Weakness::SchemaChanged, "CustomResourceDefinition", definition, place)),
        None => Ok(()),
    }
}

async fn live(client: &Client, guard: &Guard) -> Result<Option<DynamicObject>, AuthorityFault> {
    let (group, version) = admission::API_VERSION.split_once('/').unwrap_or(("", admission::API_VERSION));
    let gvk = GroupVersionKind::gvk(group, version, guard.kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, guard.plural);
    Api::<DynamicObject>::all_with(client.clone(), &resource)
        .get_opt(guard.name)
        .await
        .map_err(|error| unverifiable(&error))
}

/// Checks that our policies refuse what only helpdesk and billing may write: a dry run on this request with the operator's
/// own account. Only for a request that is neither claimed nor ended nor denied.
pub async fn refuses_forgeries(client: &Client, request: &RestoreRequest) -> Result<(), AuthorityFault> {
    let api: Api<RestoreRequest> = Api::namespaced(client.clone(), &request.namespace().unwrap_or_default());
    for forgery in admission::forgeries(request) {
        refuses_forgery(&api, &request.name_any(), &forgery).await?;
    }
    Ok(())
}

async fn refuses_forgery(api: &Api<RestoreRequest>, name: &str, forgery: &Forgery) -> Result<(), AuthorityFault> {
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    match api.patch_status(name, &dry, &Patch::Merge(&forgery.patch)).await {
        Ok(_) => Err(AuthorityFault::ForgeryAccepted { what: forgery.what.to_owned() }),
        Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => Ok(()),
        Err(error) => Err(unverifiable(&error)),
    }
}

fn unverifiable(error: &dyn std::error::Error) -> AuthorityFault {
    AuthorityFault::Unverifiable { why: error.to_string() }
}

/// The whole check, for a request that is about to be claimed.
pub async fn verify(ctx: &Context, request: &RestoreRequest) -> Result<(), AuthorityFault> {
    intact(&ctx.clients.write, ctx.settings.four_eyes).await?;
    refuses_forgeries(&ctx.clients.write, request).await
}

/// Checks the gate every `--authority-interval` until `stop`, for conditions and metric. Claims do not rely on it.
pub async fn watch(ctx: Arc<Context>, stop: CancellationToken) {
    loop {
        let found = check(&ctx).await;
        ctx.metrics.authority_intact.set(found.is_ok().into());
        if ctx.authority.record(found.clone()) {
            match found {
                Ok(()) => info!("admission policies intact"),
                Err(fault) => error!(reason = fault.reason(), %fault, "admission policies not intact; no restore runs"),
            }
            for storage in ctx.caches.storages.state() {
                ctx.timers.storages.requeue_now(ObjectRef::from_obj(&*storage));
            }
            for request in ctx.caches.requests.state_filter(accepts_forgery_test) {
                ctx.timers.requests.requeue_now(ObjectRef::from_obj(&*request));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ctx.settings.timing.authority_interval) => {}
        }
    }
}

async fn check(ctx: &Context) -> Result<(), AuthorityFault> {
    learn_own_user(ctx).await;
    intact(&ctx.clients.write, ctx.settings.four_eyes).await?;
    // A forged refund on an ended request tests the policies as well. Without any request, only their text can be checked.
    let Some(cached) =
        ctx.caches.requests.find(accepts_forgery_test).or_else(|| ctx.caches.requests.find(accepts_refund_test))
    else {
        return Ok(());
    };
    // Read again, because the cache may lag: on a request that has just been denied the schema refuses first, which proves
    // nothing about the policies.
    let api: Api<RestoreRequest> = Api::namespaced(ctx.clients.write.clone(), &cached.namespace().unwrap_or_default());
    match api.get_opt(&cached.name_any()).await {
        Ok(Some(request)) if accepts_forgery_test(&request) => refuses_forgeries(&ctx.clients.write, &request).await,
        Ok(Some(request)) if accepts_refund_test(&request) => {
            refuses_forgery(&api, &request.name_any(), &admission::late_forgery()).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(unverifiable(&error)),
    }
}

/// Whether a forged refund on this request reaches the policies.
pub fn accepts_refund_test(request: &RestoreRequest) -> bool {
    let Some(status) = &request.status else { return false };
    request.metadata.deletion_timestamp.is_none()
        && status.finished_at.is_some()
        && status.payment.as_ref().is_none_or(|payment| payment.refund.is_none())
}

/// Asks the API server once for the operator's own user name: a signature in that name is a forgery.
async fn learn_own_user(ctx: &Context) {
    if ctx.authority.user.get().is_some() {
        return;
    }
    let reviews: Api<SelfSubjectReview> = Api::all(ctx.clients.write.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = answer.ok().and_then(|review| review.status).and_then(|s| s.user_info).and_then(|u| u.username);
    if let Some(user) = user {
        let _ = ctx.authority.user.set(user);
    }
}

/// Whether a forgery on this request reaches the policies. On others the schema's rules refuse first.
pub fn accepts_forgery_test(request: &RestoreRequest) -> bool {
    let Some(status) = &request.status else {
        return request.metadata.deletion_timestamp.is_none();
    };
    let denied = status.approval.as_ref().is_some_and(|approval| approval.decision == Decision::Denied);
    let ended = [RequestCondition::Complete, RequestCondition::Failed]
        .into_iter()
        .any(|type_| is_true(&status.conditions, type_));
    request.metadata.deletion_timestamp.is_none()
        && status.claim.is_none()
        && status.finished_at.is_none()
        && !denied
        && !ended
}
