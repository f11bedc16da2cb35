//! Leader election by a `coordination.k8s.io` Lease. It is written with its resourceVersion, so of two candidates one wins.
//! Two leaders for a moment do no harm: fixed Job names and guarded writes see to that (docs/design.md, "Scale").
//!
//! Own code, because the only crate for this (kube-leader-election 0.44) needs kube 4 and trusts the holder's clock. Here,
//! as in client-go, a Lease is dead when this process has seen it unchanged for its whole duration: no clocks are compared.

use crate::runtime::write_fence::WriteFence;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a Lease holds and how often it is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A Lease that nobody renewed for this long is free.
    pub duration: Duration,
    /// A leader that could not renew for this long stops; well below `duration`.
    pub renew_deadline: Duration,
    /// Pause between two attempts to read and write it.
    pub retry_period: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// A Lease as one candidate knows it.
#[derive(Debug, Clone)]
pub struct ObservedLease {
    /// The object as last read.
    pub lease: Lease,
    /// When this candidate first saw it in this state.
    pub since: Instant,
}

/// What a candidate does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStep {
    /// There is no Lease: create it.
    Create,
    /// This candidate holds it: renew it.
    Renew,
    /// It is free, or was not renewed for its whole duration: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// Decides the next step. `now` is this process's own monotonic clock.
pub fn decide(now: Instant, seen: Option<&ObservedLease>, me: &str) -> LeaseStep {
    let Some(seen) = seen else {
        return LeaseStep::Create;
    };
    let spec = seen.lease.spec.as_ref();
    let holder = spec.and_then(|s| s.holder_identity.as_deref()).unwrap_or("");
    let seconds = spec.and_then(|s| s.lease_duration_seconds).unwrap_or(0);
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if holder == me {
        LeaseStep::Renew
    } else if holder.is_empty() || now.duration_since(seen.since) >= duration {
        LeaseStep::Take
    } else {
        LeaseStep::Wait
    }
}

/// Why this process stopped leading.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Renewing failed for too long, or somebody else took it.
    #[error("the Lease {namespace}/{name} was lost: not renewed within {deadline:?}; the process ends and starts over")]
    Lost {
        /// Namespace of the Lease.
        namespace: String,
        /// Its name.
        name: String,
        /// The renew deadline.
        deadline: Duration,
    },
    /// The API server's state is older than before: etcd was restored. What this process has cached no longer holds.
    #[error(
        "the Lease {namespace}/{name} went back from resourceVersion {was} to {is}: etcd was restored from a snapshot; the \
         process ends and starts over with empty caches"
    )]
    SetBack {
        /// Namespace of the Lease.
        namespace: String,
        /// Its name.
        name: String,
        /// The version that was seen before.
        was: String,
        /// The version that is there now.
        is: String,
    },
}

/// Why an attempt to read and write the Lease failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("it went back from resourceVersion {was} to {is}")]
    SetBack { was: String, is: String },
}

/// Whether `is` was written before `was`. False for versions that are not numbers.
fn set_back(was: Option<&str>, is: Option<&str>) -> bool {
    let number = |version: Option<&str>| version?.parse::<u64>().ok();
    // guard(i2_an_older_version_than_was_seen_tells_that_etcd_was_set_back, never): an API server that was set back ends the leader
    matches!((number(was), number(is)), (Some(was), Some(is)) if is < was)
}

/// One candidate's side of an election.
pub struct LeaseCandidate {
    api: Api<Lease>,
    namespace: String,
    name: String,
    me: String,
    terms: Terms,
    observed: Option<ObservedLease>,
    leading: WriteFence,
}

impl LeaseCandidate {
    /// A candidate named `me` (unique for each process) for the Lease `namespace/name`. Each renewal opens `leading` until
    /// the renew deadline.
    pub fn new(client: Client, namespace: &str, name: &str, me: &str, terms: Terms, leading: WriteFence) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            me: me.to_owned(),
            terms,
            observed: None,
            leading,
        }
    }

    /// Waits until this candidate leads; `false` when `stop` came first.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        info!(lease = %self.name, namespace = %self.namespace, identity = %self.me, "waiting to lead");
        loop {
            match self.attempt().await {
                Ok(true) => return true,
                Ok(false) => {}
                // A standby has cached nothing that could be wrong.
                Err(AttemptError::SetBack { .. }) => self.observed = None,
                Err(error) => warn!(%error, lease = %self.name, "Lease not read or written; retrying"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(self.terms.retry_period) => {}
            }
        }
    }

    /// Keeps the Lease until `stop`, or until it is lost. The deadline counts from before the last renewal that
    /// succeeded was sent, so this side gives up before any other may begin.
    pub async fn hold(&mut self, stop: &CancellationToken) -> Result<(), LeaseError> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.terms.retry_period) => {}
            }
            let sent = Instant::now();
            match tokio::time::timeout_at(renewed + self.terms.renew_deadline, self.attempt()).await {
                Ok(Ok(true)) => renewed = sent,
                Ok(Ok(false)) if self.held_by_other() => return Err(self.lost()),
                Ok(Ok(false)) => {}
                Ok(Err(AttemptError::SetBack { was, is })) => {
                    let (namespace, name) = (self.namespace.clone(), self.name.clone());
                    return Err(LeaseError::SetBack { namespace, name, was, is });
                }
                Ok(Err(error)) => warn!(%error, lease = %self.name, "Lease not renewed; retrying"),
                Err(_) => return Err(self.lost()),
            }
            if renewed.elapsed() >= self.terms.renew_deadline {
                return Err(self.lost());
            }
        }
    }

    /// Releases the Lease, so that the next candidate need not wait until it runs out. Only after all work has stopped.
    pub async fn release(&mut self) {
        let Some(ObservedLease { mut lease, .. }) = self.observed.take() else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.me.as_str()) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        let params = PostParams::default();
        let put = self.api.replace(&self.name, &params, &lease);
        match tokio::time::timeout(self.terms.retry_period, put).await {
            Ok(Ok(_)) => info!(lease = %self.name, "Lease released"),
            Ok(Err(error)) => warn!(%error, lease = %self.name, "Lease not released; it runs out by itself"),
            Err(_) => warn!(lease = %self.name, "Lease not released in time; it runs out by itself"),
        }
    }

    fn lost(&self) -> LeaseError {
        LeaseError::Lost {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            deadline: self.terms.renew_deadline,
        }
    }

    fn held_by_other(&self) -> bool {
        self.observed
            .as_ref()
            .and_then(|seen| seen.lease.spec.as_ref()?.holder_identity.as_deref())
            .is_some_and(|holder| holder != self.me && !holder.is_empty())
    }

    /// One read and at most one write. True: this candidate holds the Lease now.
    async fn attempt(&mut self) -> Result<bool, AttemptError> {
        let began = Instant::now();
        let read = self.api.get_opt(&self.name).await?;
        let now = Instant::now();
        let known = self.observed.as_ref().and_then(|seen| seen.lease.resource_version());
        let is = read.as_ref().and_then(ResourceExt::resource_version);
        if set_back(known.as_deref(), is.as_deref()) {
            return Err(AttemptError::SetBack { was: known.unwrap_or_default(), is: is.unwrap_or_default() });
        }
        self.observed = read.map(|lease| match self.observed.take() {
            Some(old) if old.lease.resource_version() == lease.resource_version() => old,
            _ => ObservedLease { lease, since: now },
        });
        let step = decide(now, self.observed.as_ref(), &self.me);
        let written = match (step, &self.observed) {
            (LeaseStep::Wait, _) => return Ok(false),
            (LeaseStep::Create, _) | (_, None) => self.api.create(&PostParams::default(), &self.claim(None)).await,
            (LeaseStep::Renew | LeaseStep::Take, Some(seen)) => {
                let lease = self.claim(Some(&seen.lease));
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                let is = lease.resource_version();
                self.observed = Some(ObservedLease { lease, since: now });
                if set_back(known.as_deref(), is.as_deref()) {
                    return Err(AttemptError::SetBack { was: known.unwrap_or_default(), is: is.unwrap_or_default() });
                }
                // Counted from before it was sent, as in `hold`.
                self.leading.renewed_until(began + self.terms.renew_deadline);
                Ok(true)
            }
            // Another candidate was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The Lease with this candidate as holder; carries the resourceVersion of `old`.
    fn claim(&self, old: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = old.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let mine = before.holder_identity.as_deref() == Some(self.me.as_str());
        let metadata = old.map_or_else(
            || ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        );
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: Some(i32::try_from(self.terms.duration.as_secs()).unwrap_or(i32::MAX)),
                acquire_time: if mine { before.acquire_time.clone() } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!mine && old.is_some())),
                ..before
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: Option<&str>, seconds: i32, since: Instant) -> ObservedLease {
        ObservedLease {
            lease: Lease {
                spec: Some(LeaseSpec {
                    holder_identity: holder.map(str::to_owned),
                    lease_duration_seconds: Some(seconds),
                    ..LeaseSpec::default()
                }),
                ..Lease::default()
            },
            since,
        }
    }

    #[test]
    fn i2_an_older_version_than_was_seen_tells_that_etcd_was_set_back() {
        for (was, is, back) in
            [("7", "6", true), ("10", "9", true), ("9", "10", false), ("7", "7", false), ("x", "6", false)]
        {
            assert_eq!(set_back(Some(was), Some(is)), back, "{was} {is}");
        }
        assert!(!set_back(None, Some("1")) && !set_back(Some("1"), None), "a new Lease, or none");
    }

    #[test]
    fn a_lease_is_taken_only_when_free_or_seen_unchanged_for_its_whole_duration() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let cases = [
            ("no lease", None, after(0), LeaseStep::Create),
            ("mine", Some(seen(Some("me"), 15, start)), after(1), LeaseStep::Renew),
            ("mine, though I slept through it", Some(seen(Some("me"), 15, start)), after(99), LeaseStep::Renew),
            ("another's, fresh", Some(seen(Some("you"), 15, start)), after(14), LeaseStep::Wait),
            ("another's, run out", Some(seen(Some("you"), 15, start)), after(15), LeaseStep::Take),
            ("given back", Some(seen(Some(""), 1, start)), after(0), LeaseStep::Take),
            ("never held", Some(seen(None, 15, start)), after(0), LeaseStep::Take),
            ("nonsense duration", Some(seen(Some("you"), -5, start)), after(0), LeaseStep::Take),
        ];
        for (case, seen, now, wanted) in cases {
            assert_eq!(decide(now, seen.as_ref(), "me"), wanted, "{case}");
        }
    }
}
