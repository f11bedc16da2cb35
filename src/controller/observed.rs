//! What surrounds every reconcile, so that none of them need think of it: a span, time and outcome as metrics, an Event
//! for a failure, and when to try again.

use super::clock::Clock;
use super::context::Context;
use crate::telemetry::{KindLabel, Metrics, ReconcileLabels};
use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Instrument, info_span, warn};

/// The shortest pause after a failure.
pub const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest.
pub const LAST_RETRY: Duration = Duration::from_mins(5);
/// The API server refuses longer notes.
const NOTE_LIMIT: usize = 1000;

/// What a reconcile came to when nothing failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The world is as it should be; look again as the action says.
    Applied(Action),
    /// Something is under way, or somebody has to act; look again as the action says.
    Waiting(Action),
}

/// When a failure is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once: somebody else changed the object in between.
    AtOnce,
    /// Later, the longer it has failed the later.
    Later,
    /// Only when the object changes: it can never work as it is.
    OnChange,
}

/// An error that ends a reconcile.
pub trait Failure: std::error::Error + Send + 'static {
    /// CamelCase; the Event's reason and the metric's label: one of a fixed set.
    fn reason(&self) -> &'static str;
    /// Whether and when to try again.
    fn retry(&self) -> Retry;
}

/// An object that knows since when something has been wrong with it.
pub trait Ailing {
    /// Since when; `None` when nothing is wrong or nobody has written it down.
    fn ailing_since(&self) -> Option<DateTime<Utc>>;
}

/// The pause before another try: as long as it has failed so far, within bounds. The age comes from status, so no
/// counter is lost with the process.
pub fn pause(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    let age = since.map_or(TimeDelta::zero(), |since| now - since);
    age.to_std().unwrap_or_default().clamp(FIRST_RETRY, LAST_RETRY)
}

/// The pause before a failed reconcile is tried again; `None` waits for a change. `since`: since when the object ails.
pub fn retry_after<E: Failure>(since: Option<DateTime<Utc>>, error: &E, now: DateTime<Utc>) -> Option<Duration> {
    match error.retry() {
        Retry::AtOnce => Some(Duration::from_millis(200)),
        Retry::Later => Some(pause(since, now)),
        Retry::OnChange => None,
    }
}

/// kube's error policy for all kinds. Its queue sleeps by the wall's clock.
pub fn error_policy<K: Ailing, E: Failure>(object: &K, error: &E, clock: Clock) -> Action {
    let pause = retry_after(object.ailing_since(), error, clock.now());
    let pause = pause.map(|pause| clock.real(TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)));
    pause.map_or_else(Action::await_change, Action::requeue)
}

/// Metrics and Events of reconciles.
#[derive(Clone)]
pub struct Observer {
    metrics: Metrics,
    recorder: Recorder,
}

impl Observer {
    /// An observer that counts into `metrics` and publishes through `recorder`.
    pub fn new(metrics: Metrics, recorder: Recorder) -> Self {
        Self { metrics, recorder }
    }

    /// Runs one reconcile.
    pub async fn reconcile<K, E>(&self, object: &K, work: impl Future<Output = Result<Outcome, E>>) -> Result<Action, E>
    where
        K: Resource<DynamicType = ()>,
        E: Failure,
    {
        let kind = kind::<K>();
        let span =
            info_span!("reconcile", kind, namespace = object.namespace().unwrap_or_default(), name = object.name_any());
        async {
            let started = Instant::now();
            let result = work.await;
            let label = KindLabel { kind };
            let seconds = started.elapsed().as_secs_f64();
            self.metrics.reconcile_seconds.get_or_create(&label).observe(seconds);
            let (outcome, reason, result) = match result {
                Ok(Outcome::Applied(action)) => ("Applied", "", Ok(action)),
                Ok(Outcome::Waiting(action)) => ("Waiting", "", Ok(action)),
                Err(error) => ("Failed", error.reason(), Err(error)),
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

    async fn failed<K: Resource<DynamicType = ()>, E: Failure>(&self, object: &K, error: &E) {
        warn!(reason = error.reason(), %error, "reconcile failed");
        // A conflict is everyday life, and an API server that is away takes no Events either.
        if error.retry() != Retry::AtOnce {
            self.event(object, EventType::Warning, error.reason(), "Reconcile", &error.to_string()).await;
        }
    }

    /// Publishes an Event; repeats are counted in a series. A failure to publish is logged and changes nothing.
    pub async fn event<K: Resource<DynamicType = ()>>(
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
            warn!(%error, reason, "cannot publish an Event");
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

/// Everything kube needs to run `work` as a reconciler, observed.
pub async fn observed<K, E, F>(
    object: Arc<K>,
    ctx: Arc<Context>,
    work: fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, E>
where
    K: Resource<DynamicType = ()>,
    E: Failure,
    F: Future<Output = Result<Outcome, E>>,
{
    ctx.observer.reconcile(&*object, work(object.clone(), ctx.clone())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no")]
    struct Wrong(Retry);
    impl Failure for Wrong {
        fn reason(&self) -> &'static str {
            "Wrong"
        }
        fn retry(&self) -> Retry {
            self.0
        }
    }
    struct Ill(Option<i64>);
    impl Ailing for Ill {
        fn ailing_since(&self) -> Option<DateTime<Utc>> {
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
            let pause = retry_after(since.map(at), &Wrong(Retry::Later), at(1000));
            assert_eq!(pause, Some(Duration::from_secs(wanted)), "{since:?}");
        }
        assert_eq!(error_policy(&Ill(None), &Wrong(Retry::OnChange), Clock::default()), Action::await_change());
    }

    #[test]
    fn by_a_clock_that_runs_faster_the_next_try_comes_sooner() {
        let clock = Clock::running(Utc::now(), at(0), 8.0);
        let pause = |clock| error_policy(&Ill(None), &Wrong(Retry::Later), clock);
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
