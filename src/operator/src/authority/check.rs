//! Checks the gate of approval and payment: the admission policies exist, are as shipped, and refuse a forgery in a dry run.
//! If not, no restore runs (I6).

use super::status::AuthorityFault;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, ResourceExt};
use sennight_api::RestoreRequest;
use sennight_api::admission::{self, Forgery, Guard, Weakness};
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_status::Decision;
use sennight_core::authority as rules;

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

/// Checks that one forgery is refused, by a dry run on a request of this name.
pub async fn refuses_forgery(api: &Api<RestoreRequest>, name: &str, forgery: &Forgery) -> Result<(), AuthorityFault> {
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    match api.patch_status(name, &dry, &Patch::Merge(&forgery.patch)).await {
        Ok(_) => Err(AuthorityFault::ForgeryAccepted { what: forgery.what.to_owned() }),
        Err(kube::Error::Api(status)) if admission::is_own_refusal(&status.message) => Ok(()),
        Err(error) => Err(unverifiable(&error)),
    }
}

/// A check that could not be made.
pub fn unverifiable(error: &dyn std::error::Error) -> AuthorityFault {
    AuthorityFault::Unverifiable { why: error.to_string() }
}

/// The whole check, for a request that is about to be claimed.
pub async fn verify(client: &Client, setting: rules::FourEyes, request: &RestoreRequest) -> Result<(), AuthorityFault> {
    intact(client, setting).await?;
    refuses_forgeries(client, request).await
}

/// Whether a forged refund on this request reaches the policies.
pub fn accepts_refund_test(request: &RestoreRequest) -> bool {
    let Some(status) = &request.status else { return false };
    request.metadata.deletion_timestamp.is_none()
        && status.finished_at.is_some()
        && status.payment.as_ref().is_none_or(|payment| payment.refund.is_none())
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
