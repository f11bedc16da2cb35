//! Controller of ExportProfile: checks the profile by itself and writes the condition Ready. Whether a tenant has its
//! tables and columns is checked later, against each backup.

use crate::error::ReconcileError;
use crate::runtime::clock::Clock;
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::{FailingSince, cut};
use crate::runtime::writes::{FieldManager, apply_status};
use chrono::{DateTime, Utc};
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt};
use sennight_api::conditions::{ProfileCondition, find, set};
use sennight_api::{Condition, ConditionStatus, ExportProfile, ExportProfileSpec, ExportProfileStatus};
use sennight_core::profile;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 2000;

/// A field of a profile whose value makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("spec.{0}")]
pub struct Unfit(#[from] profile::ProfileFault);

impl Unfit {
    /// CamelCase reason of the condition Ready.
    pub fn reason(&self) -> &'static str {
        self.0.reason()
    }
}

/// Converts a profile to the type of `core`, if it makes sense by itself.
pub fn check(spec: &ExportProfileSpec) -> Result<profile::ExportProfile, Unfit> {
    let profile = profile::ExportProfile::from(spec.clone());
    profile.check()?;
    Ok(profile)
}

/// The controller of ExportProfile.
pub struct ProfileController {
    /// Writes status.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
}

impl FailingSince for ExportProfile {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        let ready = find(&self.status.as_ref()?.conditions, ProfileCondition::Ready)?;
        ready.last_transition_time.filter(|_| !ready.is_true())
    }
}

/// Runs the controller until `stop`.
pub async fn run(
    informer: Informer<ExportProfile>,
    controller: ProfileController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    informer.run(Arc::new(controller), shared, stop, reconcile).await;
}

async fn reconcile(object: Arc<ExportProfile>, controller: Arc<ProfileController>) -> Result<Action, ReconcileError> {
    let status = status(&object, controller.clock.now());
    let api = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    apply_status(&api, FieldManager::Sennight, &*object, object.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}

fn status(object: &ExportProfile, now: DateTime<Utc>) -> ExportProfileStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let ready = match check(&object.spec) {
        Ok(_) => Condition::new(
            ProfileCondition::Ready,
            ConditionStatus::True,
            "ProfileAccepted",
            "the profile makes sense; each backup decides which of its tables and columns are there",
        ),
        Err(unfit) => {
            let message = unfit.to_string();
            Condition::new(ProfileCondition::Ready, false, unfit.reason(), cut(&message, MESSAGE_LIMIT))
        }
    };
    set(&mut status.conditions, ready.observed(object.metadata.generation), now);
    status.observed_generation = object.metadata.generation;
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(change: impl Fn(&mut Value)) -> ExportProfile {
        let mut object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "ExportProfile",
            "metadata": {"name": "p", "namespace": "n", "generation": 2},
            "spec": {"entities": [
                {"name": "deals", "file": "deals.csv", "table": {"name": "b_crm_deal"}, "columns": [{"column": "ID"}]}
            ]}
        });
        change(&mut object["spec"]);
        serde_json::from_value(object).unwrap()
    }

    fn ready(change: impl Fn(&mut Value)) -> (ConditionStatus, String, String) {
        let status = status(&object(change), DateTime::UNIX_EPOCH);
        let ready = find(&status.conditions, ProfileCondition::Ready).unwrap().clone();
        assert_eq!((status.observed_generation, ready.observed_generation), (Some(2), Some(2)));
        (ready.status, ready.reason, ready.message.unwrap_or_default())
    }

    #[test]
    fn a_profile_that_makes_sense_is_ready_and_stays_as_it_is() {
        let (status_, reason, _) = ready(|_| ());
        assert_eq!((status_, reason.as_str()), (ConditionStatus::True, "ProfileAccepted"));
        let mut again = object(|_| ());
        again.status = Some(status(&again, DateTime::UNIX_EPOCH));
        assert_eq!(Some(status(&again, Utc::now())), again.status);
    }

    #[test]
    fn a_profile_that_makes_none_names_its_field() {
        for (change, reason, said) in [
            (
                (|s: &mut Value| s["entities"][0]["table"]["name"] = json!("b_crm_act")) as fn(&mut Value),
                "ExcludedTable",
                "spec.entities[deals].table names \"b_crm_act\"",
            ),
            (
                |s| s["entities"][0]["columns"][0]["lookup"] = json!({"name": "user"}),
                "LookupMissing",
                "spec.entities[deals].columns[ID].lookup names lookup \"user\"",
            ),
            (|s| s["format"] = json!({"dateFormat": "%Q"}), "FieldInvalid", "spec.format.dateFormat: "),
            (
                |s| s["entities"][0]["columns"] = json!([{"column": "ID"}, {"column": "id"}]),
                "FieldInvalid",
                "spec.entities[deals].columns[id]: header \"ID\" is there twice",
            ),
        ] {
            let (status_, found, message) = ready(change);
            assert_eq!((status_, found.as_str()), (ConditionStatus::False, reason), "{message}");
            assert!(message.starts_with(said), "{message}");
        }
    }

    #[test]
    fn the_shipped_profile_is_ready() {
        let text = include_str!("../../../charts/sennight/profiles/bitrix24-crm.yaml");
        let shipped: ExportProfile = serde_saphyr::from_str(text).unwrap();
        assert!(check(&shipped.spec).unwrap().missing_only);
    }
}
