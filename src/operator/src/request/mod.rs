//! What the three controllers of a RestoreRequest share: who writes what, the states of Jobs and databases, payments, and
//! when a request is closed.

pub mod adoption;
pub mod audit_state;
pub mod closed;
pub mod endings;
pub mod events;
pub mod job_creation;
pub mod job_results;
pub mod leftovers;
pub mod ownership;
pub mod payments;
pub mod references;
pub mod step_job;
pub mod undo;
pub mod wakes;

use crate::error::ReconcileError;
use crate::runtime::instrumented::FailingSince;
use crate::runtime::writes::VerbError;
use chrono::{DateTime, Utc};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use sennight_api::RestoreRequest;

/// RestoreRequests in one page of a list.
const PAGE: u32 = 500;

impl FailingSince for RestoreRequest {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        // What fails is a read of cluster or bucket, not the request: always retried after the shortest pause.
        None
    }
}

/// The API of the requests in this one's namespace.
pub fn api(object: &RestoreRequest, client: &Client) -> Api<RestoreRequest> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Lists the requests of this one's namespace from the API server, page by page, and keeps what `choose` gives.
pub async fn list_beside<T>(
    object: &RestoreRequest,
    client: &Client,
    choose: impl Fn(RestoreRequest) -> Option<T>,
) -> Result<Vec<T>, ReconcileError> {
    let mut page = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let list = api(object, client).list(&page).await.map_err(|source| {
            let namespace = object.namespace().unwrap_or_default();
            VerbError::new::<RestoreRequest>("list beside", Some(&namespace), &object.name_any(), source)
        })?;
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        found.extend(list.items.into_iter().filter_map(&choose));
        match next {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
