//! Work that several connections share: each takes the next item when it is done with one.

use super::connect::Session;
use futures::future::try_join_all;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for every item, the first one first; the answers in the items' order.
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
        let mut answers = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            answers.push((at, work(session, item).await?));
        }
        Ok(answers)
    });
    let mut answers: Vec<(usize, R)> = try_join_all(each).await?.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
