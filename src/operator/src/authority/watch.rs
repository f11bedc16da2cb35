//! Checks the gate again and again, for conditions and metric. Claims do not rely on it: they check by themselves.

use super::check::{
    accepts_forgery_test, accepts_refund_test, intact, refuses_forgeries, refuses_forgery, unverifiable,
};
use super::status::{Authority, AuthorityFault};
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use crate::runtime::telemetry::Metrics;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use sennight_api::{BackupStorage, RestoreRequest, admission};
use sennight_core::authority::FourEyes;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// What the repeated check needs.
pub struct AuthorityWatch {
    /// Reads the policies, and tries the forgeries.
    pub client: Client,
    /// Whether the four-eyes policy must be in force.
    pub four_eyes: FourEyes,
    /// Pause between two checks.
    pub interval: Duration,
    /// Where the result is stored.
    pub authority: Arc<Authority>,
    /// Has the gauge of the result.
    pub metrics: Metrics,
    /// BackupStorages, whose condition AuthorityIntact says the result.
    pub storages: Store<BackupStorage>,
    /// RestoreRequests, to try forgeries on.
    pub requests: Store<RestoreRequest>,
    /// Reconciles the storages when the result changes.
    pub storages_timer: DelayQueue<Key>,
    /// Reconciles the open requests when the result changes.
    pub requests_timer: DelayQueue<Key>,
}

impl AuthorityWatch {
    /// Checks the gate every `--authority-interval` until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let found = self.check().await;
            self.metrics.authority_intact.set(found.is_ok().into());
            if self.authority.record(found.clone()) {
                match found {
                    Ok(()) => info!("admission policies intact"),
                    Err(fault) => {
                        error!(reason = fault.reason(), %fault, "admission policies not intact; no restore runs");
                    }
                }
                for storage in self.storages.state() {
                    self.storages_timer.requeue_now(ObjectRef::from_obj(&*storage));
                }
                for request in self.requests.state_filter(accepts_forgery_test) {
                    self.requests_timer.requeue_now(ObjectRef::from_obj(&*request));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    async fn check(&self) -> Result<(), AuthorityFault> {
        self.learn_own_user().await;
        intact(&self.client, self.four_eyes).await?;
        // A forged refund on an ended request tests the policies as well. Without any request, only their text can be checked.
        let Some(cached) = self.requests.find(accepts_forgery_test).or_else(|| self.requests.find(accepts_refund_test))
        else {
            return Ok(());
        };
        // Read again, because the cache may lag: on a request that has just been denied the schema refuses first, which proves
        // nothing about the policies.
        let api: Api<RestoreRequest> = Api::namespaced(self.client.clone(), &cached.namespace().unwrap_or_default());
        match api.get_opt(&cached.name_any()).await {
            Ok(Some(request)) if accepts_forgery_test(&request) => refuses_forgeries(&self.client, &request).await,
            Ok(Some(request)) if accepts_refund_test(&request) => {
                refuses_forgery(&api, &request.name_any(), &admission::late_forgery()).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(unverifiable(&error)),
        }
    }

    /// Asks the API server once for the operator's own user name: a signature in that name is a forgery.
    async fn learn_own_user(&self) {
        if self.authority.knows_own_user() {
            return;
        }
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let user = answer.ok().and_then(|review| review.status).and_then(|s| s.user_info).and_then(|u| u.username);
        if let Some(user) = user {
            self.authority.learn_own_user(user);
        }
    }
}
