//! `explain`: prints the paragraph of `present::explain` about a request, for the ticket.

use super::args::{ClusterArgs, ExplainArgs, Form};
use super::cluster::{Cluster, RESOURCE};
use super::error::PluginError;
use super::output::Io;
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use sennight_api::restore_status::{RestorePhase, WaitingOn};
use sennight_present::facts::tenant;
use serde::Serialize;

/// The output of `-o json` and `-o yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    namespace: String,
    name: String,
    ticket: String,
    tenant: Option<String>,
    phase: Option<RestorePhase>,
    waiting_on: Option<WaitingOn>,
    deadline: Option<DateTime<Utc>>,
    text: String,
}

/// Explains one request.
pub async fn run(args: &ClusterArgs, explain: &ExplainArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let request = cluster.request(&explain.name).await?;
    let schedule = cluster.schedule(&request).await;
    let text = sennight_present::explain::paragraph(&request, schedule.as_ref(), Utc::now());
    match explain.output {
        Form::Table => io.say(&text),
        Form::Name => io.say(&format!("{RESOURCE}/{}", explain.name)),
        form => {
            let status = request.status.clone().unwrap_or_default();
            let explanation = Explanation {
                namespace: request.namespace().unwrap_or_default(),
                name: request.name_any(),
                ticket: request.spec.ticket.id.clone(),
                tenant: tenant(&request, schedule.as_ref()).map(ToOwned::to_owned),
                phase: status.phase,
                waiting_on: status.waiting_on,
                deadline: status.deadline,
                text,
            };
            io.object(&explanation, form)
        }
    }
}
