//! Distributes work over several connections: each takes the next item when it has finished one.

use super::connect::Session;
use futures::future::try_join_all;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `work` for every item, in order. Returns the results in the items' order.
pub async fn run_shared<'a, T, R, E, F>(
    sessions: &[&'a Session],
    items: &'a [T],
    work: impl Fn(&'a Session, &'a T) -> F,
) -> Result<Vec<R>, E>
where
    F: Future<Output = Result<R, E>>,
{
    let next = AtomicUsize::new(0);
    let each = sessions.iter().map(|session| async {
        let mut results = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            results.push((at, work(session, item).await?));
        }
        Ok(results)
    });
    let mut results: Vec<(usize, R)> = try_join_all(each).await?.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
