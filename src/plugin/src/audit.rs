//! `audit`: reads a request's audit record from the bucket with the caller's own AWS credentials, verifies and prints it.

use super::args::{AuditArgs, ClusterArgs, Form};
use super::cluster::{Cluster, RESOURCE};
use super::error::PluginError;
use super::link;
use super::output::{Io, table};
use sennight_api::BackupStorage;
use sennight_core::audit::{AuditEntry, AuditEvent, Chain, ChainFault, ChainHead, StoredEntry, verify};
use sennight_present::words::instant;
use sennight_storage::{Access, Store};
use serde::Serialize;

/// The audit record to read.
struct Subject {
    /// How the request is named in messages.
    what: String,
    uid: String,
    head: Option<ChainHead>,
    storage: BackupStorage,
}

/// The output of `-o json` and `-o yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditOutput<'a> {
    uid: &'a str,
    /// Whether the chain is whole.
    whole: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
    /// Whether its end was compared with status.
    compared_with_status: bool,
    entries: Vec<&'a AuditEntry>,
}

/// Runs `audit`.
pub async fn run(args: &ClusterArgs, audit: &AuditArgs, io: &mut Io<'_>) -> Result<(), PluginError> {
    let cluster = Cluster::connect(args).await?;
    let subject = subject(&cluster, audit).await?;
    let ca_bundle = link::ca_bundle(audit.ca_file.as_deref())?;
    let target = link::target(&subject.storage, audit.endpoint.as_deref());
    let store = Store::with_access(&target, Access { ca_bundle, ..Access::default() }).await?;
    // All of it, from the first entry on: the operator verifies only the end at each round.
    let found = store.audit_entries(&subject.uid, 1).await?;
    let verdict = verify(&subject.uid, &found, subject.head.as_ref(), 1);
    show(&subject, &found, &verdict, audit.output, io)?;
    verdict.map(drop).map_err(PluginError::Record)
}

async fn subject(cluster: &Cluster, audit: &AuditArgs) -> Result<Subject, PluginError> {
    match (&audit.name, &audit.uid) {
        (Some(name), _) => {
            let request = cluster.request(name).await.map_err(|error| match error {
                PluginError::NotFound { .. } => PluginError::NotFoundAudit { name: name.clone() },
                other => other,
            })?;
            let head = request.status.as_ref().and_then(|status| status.audit.clone());
            // Status names no entry before both keys are turned: then the record is looked for where it would be.
            let storage = audit.storage.as_ref().or(head.as_ref().map(|head| &head.storage));
            Ok(Subject {
                what: format!("{}/{name}", cluster.namespace()),
                uid: request.metadata.uid.unwrap_or_default(),
                storage: cluster.named_storage(storage).await?,
                head: head.map(|head| ChainHead { seq: head.seq, sha256: head.sha256 }),
            })
        }
        (None, uid) => {
            let uid = uid.clone().unwrap_or_default();
            let storage = cluster.named_storage(audit.storage.as_ref()).await?;
            Ok(Subject { what: format!("request {uid}"), uid, head: None, storage })
        }
    }
}

fn show(
    subject: &Subject,
    found: &[StoredEntry],
    verdict: &Result<Chain, ChainFault>,
    form: Form,
    io: &mut Io<'_>,
) -> Result<(), PluginError> {
    // Show what can be read of a broken record, too: somebody has to find out what happened.
    let readable: Vec<AuditEntry> =
        found.iter().filter_map(|stored| serde_json::from_slice(&stored.bytes).ok()).collect();
    let output = AuditOutput {
        uid: &subject.uid,
        whole: verdict.is_ok(),
        broken: verdict.as_ref().err().map(ToString::to_string),
        compared_with_status: subject.head.is_some(),
        entries: readable.iter().collect(),
    };
    match form {
        Form::Table => {
            if readable.is_empty() && verdict.is_ok() {
                let none = format!("{} has no record in this storage", subject.what);
                return Err(PluginError::NotNow(none));
            }
            io.say(&rows(&readable))?;
            if let Ok(chain) = verdict {
                io.say(&conclusion(subject, chain))?;
            }
            Ok(())
        }
        Form::Name => io.say(&format!("{RESOURCE}/{}", subject.what.rsplit('/').next().unwrap_or_default())),
        form => io.object(&output, form),
    }
}

/// The entries as a table.
pub fn rows(entries: &[AuditEntry]) -> String {
    let row = |entry: &AuditEntry| {
        let by = entry.by.clone().unwrap_or_else(|| "sennight".to_owned());
        vec![entry.seq.to_string(), instant(entry.at, None), entry.event.to_string(), by, detail(entry)]
    };
    table(&["SEQ", "RECORDED", "EVENT", "BY", "WHAT"], &entries.iter().map(row).collect::<Vec<_>>())
}

fn detail(entry: &AuditEntry) -> String {
    let state = &entry.state;
    let words = |parts: &[Option<&str>]| {
        let parts: Vec<&str> = parts.iter().flatten().copied().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    };
    match entry.event {
        AuditEvent::Created => {
            let subject = &state.subject;
            format!("{} for user {}, ticket {}", subject.mode, subject.requester, subject.ticket)
        }
        AuditEvent::BackupChosen => {
            state.backup.as_ref().map_or_else(String::new, |backup| format!("backup {}", backup.id))
        }
        AuditEvent::Paid | AuditEvent::PaymentChanged => state.payment.as_ref().map_or_else(String::new, |p| {
            words(&[p.reference.as_deref(), p.amount.as_deref(), p.currency.as_deref(), Some(&p.reason)])
        }),
        AuditEvent::Claimed => state.claim.as_ref().map_or_else(String::new, |claim| format!("Job {}", claim.job)),
        AuditEvent::Phase => state.phase.clone().unwrap_or_default(),
        AuditEvent::Ended => {
            state.end.as_ref().map_or_else(String::new, |end| format!("{}: {}", end.outcome, end.reason))
        }
        AuditEvent::Refunded => state.refund.clone().unwrap_or_default(),
        AuditEvent::Held
        | AuditEvent::Released
        | AuditEvent::Approved
        | AuditEvent::Denied
        | AuditEvent::ClaimVanished
        | AuditEvent::EndVanished
        | AuditEvent::RefundDue
        | AuditEvent::Deleted => String::new(),
    }
}

fn conclusion(subject: &Subject, chain: &Chain) -> String {
    let number = chain.entries.len();
    let last = chain.entries.last().map(|last| last.sha256.clone()).unwrap_or_default();
    let what = &subject.what;
    match (&subject.head, chain.beyond) {
        (Some(_), 0) => {
            format!("The record of {what} is whole: {number} entries, the last one ({last}) is the head in its status.")
        }
        (Some(head), more) => format!(
            "The record of {what} is whole: {number} entries. Its status names entry {} as the last; {more} came after it and \
             are linked to it: status names the last one before the claim and after the end.",
            head.seq
        ),
        (None, _) => format!(
            "The record of {what} is linked throughout: {number} entries, the last one is {last}. There is no status to compare \
             its end with: entries cut off after the last one would not be noticed."
        ),
    }
}
