//! What surrounds every reconcile: a tracing span, duration and outcome as metrics, an Event for a failure, and the pause
//! before the next try.

use crate::runtime::clock::Clock;
use crate::runtime::telemetry::{KindLabel, Metrics, ReconcileLabels};
use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt};
use std::time::{Duration, Instant};
use tracing::{Instrument, info_span, warn};

/// The shortest pause after a failure.
pub const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
pub const LAST_RETRY: Duration = Duration::from_mins(5);
/// Longest `note` of an Event that the API server accepts.
const NOTE_LIMIT: usize = 1000;

/// When a failed reconcile is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once: somebody else changed the object in between.
    AtOnce,
    /// After a pause that grows with the time it has failed.
    Later,
    /// Only when the object changes: it can never work as it is.
    OnChange,
}

/// An error that ends a reconcile, as far as its loop has to know it.
pub trait ReconcileFailure: std::error::Error + Send + Sync + 'static {
    /// CamelCase, one of a fixed set: the Event's reason and the metric's label.
    fn reason(&self) -> &'static str;

    /// Whether and when to try again.
    fn retry(&self) -> Retry;
}

/// An object whose status says since when something has been wrong with it.
pub trait FailingSince {
    /// Since when; `None` when nothing is wrong, or status does not say.
    fn failing_since(&self) -> Option<DateTime<Utc>>;
}

/// The pause before another try: as long as it has failed so far, within bounds. The age comes from status, so no
/// counter is lost with the process.
pub fn pause(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    let age = since.map_or(TimeDelta::zero(), |since| now - since);
    age.to_std().unwrap_or_default().clamp(FIRST_RETRY, LAST_RETRY)
}

/// The pause before a failed reconcile is tried again; `None` waits for a change. `since` is [`FailingSince::failing_since`].
pub fn retry_after(
    since: Option<DateTime<Utc>>,
    error: &impl ReconcileFailure,
    now: DateTime<Utc>,
) -> Option<Duration> {
    match error.retry() {
        Retry::AtOnce => Some(Duration::from_millis(200)),
        Retry::Later => Some(pause(since, now)),
        Retry::OnChange => None,
    }
}

/// kube's error policy for all kinds.
pub fn error_policy<K: FailingSince>(object: &K, error: &impl ReconcileFailure, clock: Clock) -> Action {
    let pause = retry_after(object.failing_since(), error, clock.now());
    pause.map_or_else(Action::await_change, |pause| requeue_after(clock, pause))
}

/// Requeues after a span of the operator's clock. kube's own queue sleeps by the wall clock, so the span is converted.
pub fn requeue_after(clock: Clock, after: Duration) -> Action {
    Action::requeue(clock.real(TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX)))
}

/// Measures reconciles and publishes Events.
#[derive(Clone)]
pub struct ReconcileMetrics {
    metrics: Metrics,
    recorder: Recorder,
}

impl ReconcileMetrics {
    /// Counts into `metrics` and publishes through `recorder`.
    pub fn new(metrics: Metrics, recorder: Recorder) -> Self {
        Self { metrics, recorder }
    }

    /// Runs one reconcile in a span; counts, logs and publishes its outcome.
    pub async fn reconcile<K: Resource<DynamicType = ()>, E: ReconcileFailure>(
        &self,
        object: &K,
        work: impl Future<Output = Result<Action, E>>,
    ) -> Result<Action, E> {
        let kind = kind::<K>();
        let span =
            info_span!("reconcile", kind, namespace = object.namespace().unwrap_or_default(), name = object.name_any());
        async {
            let started = Instant::now();
            let result = work.await;
            let label = KindLabel { kind };
            let seconds = started.elapsed().as_secs_f64();
            self.metrics.reconcile_seconds.get_or_create(&label).observe(seconds);
            let (outcome, reason) = match &result {
                Ok(_) => ("Applied", ""),
                Err(error) => ("Failed", error.reason()),
            };
            let labels = ReconcileLabels { kind, outcome, reason };
            self.metrics.reconciles.get_or_create(&labels).inc();
            if let Err(error) = &result {
                self.failed(object, error).await;
            }
            result
        }
        .instrument(span)
        .await
    }

    async fn failed<K: Resource<DynamicType = ()>>(&self, object: &K, error: &impl ReconcileFailure) {
        warn!(reason = error.reason(), %error, "reconcile failed");
        // Conflicts are frequent and repaired by the next try: no Event.
        if error.retry() != Retry::AtOnce {
            self.publish_event(object, EventType::Warning, error.reason(), "Reconcile", &error.to_string()).await;
        }
    }

    /// Publishes an Event; repeats are counted in a series. A failure to publish is logged and changes nothing.
    pub async fn publish_event<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note, NOTE_LIMIT).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            warn!(%error, reason, "Event not published");
        }
    }
}

/// The first `limit` bytes of a text, or a little less where a character would be cut.
pub fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ReconcileError, ServerFault};

    fn later() -> ReconcileError {
        ReconcileError::NothingToHold
    }

    struct Failing(Option<i64>);
    impl FailingSince for Failing {
        fn failing_since(&self) -> Option<DateTime<Utc>> {
            self.0.map(at)
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_longer_it_has_failed_the_later_the_next_try() {
        let cases = [(None, 5), (Some(1000), 5), (Some(990), 10), (Some(880), 120), (Some(0), 300), (Some(2000), 5)];
        for (since, wanted) in cases {
            let pause = retry_after(since.map(at), &later(), at(1000));
            assert_eq!(pause, Some(Duration::from_secs(wanted)), "{since:?}");
        }
        assert_eq!(
            error_policy(
                &Failing(None),
                &ReconcileError::from(ServerFault::TlsDisabled("caSecretRef")),
                Clock::default()
            ),
            Action::await_change()
        );
    }

    #[test]
    fn by_a_clock_that_runs_faster_the_next_try_comes_sooner() {
        let clock = Clock::running(Utc::now(), at(0), 8.0);
        let pause = |clock| error_policy(&Failing(None), &later(), clock);
        assert_eq!(pause(Clock::default()), Action::requeue(FIRST_RETRY));
        assert_eq!(pause(clock), Action::requeue(FIRST_RETRY / 8));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("aäb", 3), "aä");
        assert_eq!(cut("ab", 9), "ab");
    }
}
