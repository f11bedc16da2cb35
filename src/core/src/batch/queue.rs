//! The dumps that are due and have no Job yet, and which of them get one now: by lane and age, within every budget, as
//! many in one Job as fit.

use super::round_robin::RoundRobin;
use super::{BATCH_BYTES, Batch, BatchSharing, Capacity, DueDump, Group, MAX_AT_ONCE, MAX_TENANTS, Priority, BatchSettings};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Arrivals in twice the batch_window, that have a Job already, from which on more are expected.
const EXPECT_MORE: usize = 2;

type QueueKey = (DateTime<Utc>, String);

/// The dumps of one group.
#[derive(Debug, Default)]
struct GroupQueue {
    /// By lane, the longest due first.
    by_priority: [BTreeMap<QueueKey, DueDump>; 3],
    turns: RoundRobin,
    /// When the last ones came that may share a Job.
    arrivals: VecDeque<DateTime<Utc>>,
}

impl GroupQueue {
    fn len(&self) -> usize {
        self.by_priority.iter().map(BTreeMap::len).sum()
    }

    fn head(&self, lane: Priority) -> Option<&DueDump> {
        self.by_priority[lane as usize].values().next()
    }

    /// Who would ride with the first one of a lane: its own lane's first, then others'.
    fn members(&self, lane: Priority, shape: &BatchSettings) -> (Vec<(Priority, QueueKey)>, bool) {
        let Some(head) = self.head(lane) else { return (Vec::new(), false) };
        let most = head.sharing.max_tenants(shape);
        let others = Priority::ALL.into_iter().filter(|other| *other != lane);
        let all = std::iter::once(lane).chain(others).flat_map(|l| self.by_priority[l as usize].iter().map(move |r| (l, r)));
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for (lane, (place, due)) in all.filter(|(_, (_, due))| due.sharing == head.sharing) {
            // The first one always fits.
            if !chosen.is_empty() && bytes + due.weight() > BATCH_BYTES {
                return (chosen, true);
            }
            bytes += due.weight();
            chosen.push((lane, place.clone()));
            if chosen.len() == most {
                return (chosen, true);
            }
        }
        (chosen, false)
    }

    /// Whether a lane's first one should get its Job now, as far as company goes.
    fn ready(&self, lane: Priority, shape: &BatchSettings, now: DateTime<Utc>) -> bool {
        let Some(head) = self.head(lane) else { return false };
        let waited = now - head.queued;
        if head.sharing == BatchSharing::Alone || shape.tenants <= 1 {
            return true;
        }
        if self.members(lane, shape).1 {
            return true;
        }
        waited >= shape.gather_delay
            && (lane == Priority::Manual || !self.expects_more(shape, now) || waited >= shape.batch_window)
    }

    /// Until when a lane's first one waits for company, if that is what it waits for.
    fn waits_for_others_until(&self, lane: Priority, shape: &BatchSettings, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let head = self.head(lane)?;
        let until = head.queued + shape.batch_window;
        let alone = head.sharing == BatchSharing::Alone || shape.tenants <= 1 || lane == Priority::Manual;
        (!alone && now < until && self.expects_more(shape, now) && !self.members(lane, shape).1).then_some(until)
    }

    fn expects_more(&self, shape: &BatchSettings, now: DateTime<Utc>) -> bool {
        let lately = self.arrivals.iter().filter(|at| now - **at <= shape.batch_window * 2).count();
        lately >= self.len() + EXPECT_MORE
    }

    fn record_arrival(&mut self, at: DateTime<Utc>) {
        self.arrivals.push_back(at);
        if self.arrivals.len() > MAX_TENANTS * 2 {
            self.arrivals.pop_front();
        }
    }
}

/// The queue. One entry a schedule at most.
#[derive(Debug, Default)]
pub struct Queue {
    groups: BTreeMap<Group, GroupQueue>,
    positions: HashMap<String, (Group, Priority, QueueKey)>,
    turns: RoundRobin,
}

impl Queue {
    /// Queues a dump, or leaves it where it is; since when it waits. Another run of the same schedule is replaced.
    pub fn add(&mut self, group: &Group, due: DueDump) -> DateTime<Utc> {
        if let Some(there) = self.get(&due.uid)
            && there.run == due.run
            && self.positions.get(&due.uid).is_some_and(|(of, ..)| of == group)
        {
            return there.queued;
        }
        self.remove(&due.uid);
        let queued = due.queued;
        if due.sharing != BatchSharing::Alone {
            self.groups.entry(group.clone()).or_default().record_arrival(queued);
        }
        self.requeue(group, due);
        queued
    }

    /// Queues again what got no Job after all, with the time that it has waited.
    pub fn requeue(&mut self, group: &Group, due: DueDump) {
        if self.positions.contains_key(&due.uid) {
            return;
        }
        let place = (due.since, due.uid.clone());
        self.positions.insert(due.uid.clone(), (group.clone(), due.priority, place.clone()));
        let waiting = self.groups.entry(group.clone()).or_default();
        waiting.by_priority[due.priority as usize].insert(place, due);
    }

    /// Takes a schedule's dump out.
    pub fn remove(&mut self, uid: &str) -> Option<DueDump> {
        let (group, lane, place) = self.positions.remove(uid)?;
        self.groups.get_mut(&group)?.by_priority[lane as usize].remove(&place)
    }

    /// A schedule's dump, if it waits.
    pub fn get(&self, uid: &str) -> Option<&DueDump> {
        let (group, lane, place) = self.positions.get(uid)?;
        self.groups.get(group)?.by_priority[*lane as usize].get(place)
    }

    /// Until when a schedule's dump waits for company, if that is what it waits for.
    pub fn waits_for_others_until(&self, uid: &str, shape: &BatchSettings, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (group, lane, _) = self.positions.get(uid)?;
        self.groups.get(group)?.waits_for_others_until(*lane, shape, now)
    }

    /// How many wait in each lane.
    pub fn depth(&self) -> [usize; 3] {
        let mut depth = [0; 3];
        for waiting in self.groups.values() {
            for (n, lane) in waiting.by_priority.iter().enumerate() {
                depth[n] += lane.len();
            }
        }
        depth
    }

    /// Since when the one waits that has waited the longest for a Job.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.groups.values().flat_map(|w| w.by_priority.iter().filter_map(|lane| lane.keys().next())).map(|(at, _)| *at).min()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The groups that somebody waits in.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|(_, waiting)| waiting.len() > 0).map(|(group, _)| group)
    }

    /// Forgets the groups that nobody waits in and nobody came to lately.
    pub fn remove_idle_groups(&mut self, shape: &BatchSettings, now: DateTime<Utc>) {
        self.groups
            .retain(|_, w| w.len() > 0 || w.arrivals.back().is_some_and(|at| now - *at <= shape.batch_window * 2));
    }

    /// Takes out what gets a Job now. `room` is used up as far as it is used.
    pub fn plan(&mut self, capacity: &mut Capacity, shape: &BatchSettings, now: DateTime<Utc>) -> Vec<Batch> {
        // Twice a second, and most of the time there is no room.
        if capacity.tokens <= 0 || capacity.total <= 0 {
            return Vec::new();
        }
        let ready = |waiting: &GroupQueue| Priority::ALL.map(|lane| waiting.ready(lane, shape, now));
        let could = self.groups.iter().filter(|(group, waiting)| waiting.len() > 0 && capacity.free(group) > 0);
        let mut offers: BTreeMap<Group, [bool; 3]> = could.map(|(group, w)| (group.clone(), ready(w))).collect();
        let mut batches = Vec::new();
        while capacity.tokens > 0 && capacity.total > 0 {
            let best = Priority::ALL.map(|lane| self.longest_due(lane, &offers, capacity));
            let could = |lane: Priority| best[lane as usize].is_some();
            let Some(lane) = self.turns.next(could) else { break };
            let Some(group) = best[lane as usize].clone() else { break };
            self.turns.served(lane, could);
            let Some(batch) = self.take_batch(&group, lane, offers[&group], capacity.free(&group), shape) else { break };
            capacity.take(&group, batch.at_once);
            if let Some(waiting) = self.groups.get(&group) {
                offers.insert(group, ready(waiting));
            }
            batches.push(batch);
        }
        batches
    }

    /// The group that may start something and whose first one of this lane is due the longest.
    fn longest_due(&self, lane: Priority, offers: &BTreeMap<Group, [bool; 3]>, room: &Capacity) -> Option<Group> {
        let could = offers.iter().filter(|(group, ready)| ready[lane as usize] && room.free(group) > 0);
        could
            .min_by_key(|(group, _)| self.groups[*group].head(lane).map(|due| due.since))
            .map(|(group, _)| group.clone())
    }

    fn take_batch(&mut self, group: &Group, rank: Priority, ready: [bool; 3], free: i64, shape: &BatchSettings) -> Option<Batch> {
        let waiting = self.groups.get_mut(group)?;
        let could = |lane: Priority| ready[lane as usize];
        // A group whose higher lane is never empty lets its lower ones go in that one's name now and then.
        let highest = Priority::ALL.into_iter().find(|lane| could(*lane));
        let lane = if highest == Some(rank) { waiting.turns.next(could)? } else { rank };
        waiting.turns.served(lane, could);
        let (places, _) = waiting.members(lane, shape);
        let mut runs = Vec::with_capacity(places.len());
        for (lane, place) in places {
            if let Some(due) = waiting.by_priority[lane as usize].remove(&place) {
                self.positions.remove(&due.uid);
                runs.push(due);
            }
        }
        // The longest first: none of the others is left waiting for it at the end.
        runs.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.schedule.cmp(&b.schedule)));
        let at_once = free.min(MAX_AT_ONCE).min(i64::try_from(runs.len()).unwrap_or(1)).max(1);
        (!runs.is_empty()).then(|| Batch { group: group.clone(), runs, at_once })
    }
}
