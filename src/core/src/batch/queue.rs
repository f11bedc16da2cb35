//! The queue of dumps that are due and have no Job yet, and which of them get one now: by priority and age, within every
//! budget, as many in one Job as fit.

use super::round_robin::RoundRobin;
use super::{
    BATCH_BYTES, Batch, BatchSettings, BatchSharing, Capacity, DueDump, Group, MAX_AT_ONCE, MAX_TENANTS, Priority,
};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// So many arrivals within twice the batch window, whose dumps have a Job by now, mean that more will come.
const EXPECT_MORE: usize = 2;

/// Since when a dump is due, and the UID of its BackupSchedule: the order within a priority.
type QueueKey = (DateTime<Utc>, String);

/// The dumps of one group.
#[derive(Debug, Default)]
struct GroupQueue {
    /// One map for each priority, the longest due first.
    by_priority: [BTreeMap<QueueKey, DueDump>; 3],
    turns: RoundRobin,
    /// When the last dumps were queued that may share a Job.
    arrivals: VecDeque<DateTime<Utc>>,
}

impl GroupQueue {
    fn len(&self) -> usize {
        self.by_priority.iter().map(BTreeMap::len).sum()
    }

    fn head(&self, priority: Priority) -> Option<&DueDump> {
        self.by_priority[priority as usize].values().next()
    }

    /// The dumps that would share a Job with the first one of a priority, those of its own priority before others; and
    /// whether the Job is full with them.
    fn members(&self, priority: Priority, settings: &BatchSettings) -> (Vec<(Priority, QueueKey)>, bool) {
        let Some(head) = self.head(priority) else { return (Vec::new(), false) };
        let most = head.sharing.max_tenants(settings);
        let others = Priority::ALL.into_iter().filter(|other| *other != priority);
        let all = std::iter::once(priority)
            .chain(others)
            .flat_map(|l| self.by_priority[l as usize].iter().map(move |r| (l, r)));
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for (priority, (place, due)) in all.filter(|(_, (_, due))| due.sharing == head.sharing) {
            // The first one always fits.
            if !chosen.is_empty() && bytes + due.weight() > BATCH_BYTES {
                return (chosen, true);
            }
            bytes += due.weight();
            chosen.push((priority, place.clone()));
            if chosen.len() == most {
                return (chosen, true);
            }
        }
        (chosen, false)
    }

    /// Whether the first dump of a priority waits for no others any more. Budgets are not asked here.
    fn ready(&self, priority: Priority, settings: &BatchSettings, now: DateTime<Utc>) -> bool {
        let Some(head) = self.head(priority) else { return false };
        let waited = now - head.queued;
        if head.sharing == BatchSharing::Alone || settings.tenants <= 1 {
            return true;
        }
        // A full Job has nothing to wait for.
        if self.members(priority, settings).1 {
            return true;
        }
        // By hand a person waits: what is due in the same second may join, and no more. Where no others came lately, a
        // window would only delay the dump.
        waited >= settings.gather_delay
            && (priority == Priority::Manual || !self.expects_more(settings, now) || waited >= settings.batch_window)
    }

    /// Until when the first dump of a priority waits for others to share its Job; `None` if it waits for something else.
    fn waits_for_others_until(
        &self,
        priority: Priority,
        settings: &BatchSettings,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let head = self.head(priority)?;
        let until = head.queued + settings.batch_window;
        let alone = head.sharing == BatchSharing::Alone || settings.tenants <= 1 || priority == Priority::Manual;
        (!alone && now < until && self.expects_more(settings, now) && !self.members(priority, settings).1)
            .then_some(until)
    }

    /// Whether dumps arrived so often lately that more are worth waiting for.
    fn expects_more(&self, settings: &BatchSettings, now: DateTime<Utc>) -> bool {
        let lately = self.arrivals.iter().filter(|at| now - **at <= settings.batch_window * 2).count();
        lately >= self.len() + EXPECT_MORE
    }

    fn record_arrival(&mut self, at: DateTime<Utc>) {
        self.arrivals.push_back(at);
        if self.arrivals.len() > MAX_TENANTS * 2 {
            self.arrivals.pop_front();
        }
    }
}

/// The queue. A BackupSchedule has at most one entry.
#[derive(Debug, Default)]
pub struct Queue {
    groups: BTreeMap<Group, GroupQueue>,
    positions: HashMap<String, (Group, Priority, QueueKey)>,
    turns: RoundRobin,
}

impl Queue {
    /// Queues a dump and returns since when it waits. One that is queued already keeps its place; another run of the same
    /// schedule is replaced.
    pub fn add(&mut self, group: &Group, due: DueDump) -> DateTime<Utc> {
        if let Some(queued) = self.get(&due.uid)
            && queued.run == due.run
            && self.positions.get(&due.uid).is_some_and(|(of, ..)| of == group)
        {
            return queued.queued;
        }
        // Another run, or another group after an edit: a schedule has one place in the queue, or its day would be
        // dumped twice.
        self.remove(&due.uid);
        let queued = due.queued;
        // A dump that never shares a Job says nothing about how many others will come.
        if due.sharing != BatchSharing::Alone {
            self.groups.entry(group.clone()).or_default().record_arrival(queued);
        }
        self.requeue(group, due);
        queued
    }

    /// Queues a dump again whose Job cannot be created, with the time that it has waited.
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
        let (group, priority, place) = self.positions.remove(uid)?;
        self.groups.get_mut(&group)?.by_priority[priority as usize].remove(&place)
    }

    /// A schedule's dump, if it waits.
    pub fn get(&self, uid: &str) -> Option<&DueDump> {
        let (group, priority, place) = self.positions.get(uid)?;
        self.groups.get(group)?.by_priority[*priority as usize].get(place)
    }

    /// Until when a schedule's dump waits for others to share its Job; `None` if it waits for something else.
    pub fn waits_for_others_until(
        &self,
        uid: &str,
        settings: &BatchSettings,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let (group, priority, _) = self.positions.get(uid)?;
        self.groups.get(group)?.waits_for_others_until(*priority, settings, now)
    }

    /// How many wait with each priority.
    pub fn depth(&self) -> [usize; 3] {
        let mut depth = [0; 3];
        for waiting in self.groups.values() {
            for (n, dumps) in waiting.by_priority.iter().enumerate() {
                depth[n] += dumps.len();
            }
        }
        depth
    }

    /// Since when the longest waiting dump is due.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.groups
            .values()
            .flat_map(|w| w.by_priority.iter().filter_map(|dumps| dumps.keys().next()))
            .map(|(at, _)| *at)
            .min()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The groups with waiting dumps.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|(_, waiting)| waiting.len() > 0).map(|(group, _)| group)
    }

    /// Forgets groups without waiting dumps and without recent arrivals.
    pub fn remove_idle_groups(&mut self, settings: &BatchSettings, now: DateTime<Utc>) {
        self.groups
            .retain(|_, w| w.len() > 0 || w.arrivals.back().is_some_and(|at| now - *at <= settings.batch_window * 2));
    }

    /// Takes out the dumps that get a Job now, and what they use out of `capacity`.
    pub fn plan(&mut self, capacity: &mut Capacity, settings: &BatchSettings, now: DateTime<Utc>) -> Vec<Batch> {
        // Called twice a second, and mostly nothing may start.
        if capacity.tokens <= 0 || capacity.total <= 0 {
            return Vec::new();
        }
        let ready = |waiting: &GroupQueue| Priority::ALL.map(|priority| waiting.ready(priority, settings, now));
        let available = self.groups.iter().filter(|(group, waiting)| waiting.len() > 0 && capacity.free(group) > 0);
        let mut offers: BTreeMap<Group, [bool; 3]> = available.map(|(group, w)| (group.clone(), ready(w))).collect();
        let mut batches = Vec::new();
        while capacity.tokens > 0 && capacity.total > 0 {
            let best = Priority::ALL.map(|priority| self.longest_due(priority, &offers, capacity));
            let can_start = |priority: Priority| best[priority as usize].is_some();
            let Some(priority) = self.turns.next(can_start) else { break };
            let Some(group) = best[priority as usize].clone() else { break };
            self.turns.served(priority, can_start);
            let Some(batch) = self.take_batch(&group, priority, offers[&group], capacity.free(&group), settings) else {
                break;
            };
            // At once, not at the end: the next batch of this call must see what is left.
            capacity.take(&group, batch.at_once);
            if let Some(waiting) = self.groups.get(&group) {
                offers.insert(group, ready(waiting));
            }
            batches.push(batch);
        }
        batches
    }

    /// Of the groups that may start a dump, the one whose first dump of this priority is due the longest.
    fn longest_due(
        &self,
        priority: Priority,
        offers: &BTreeMap<Group, [bool; 3]>,
        capacity: &Capacity,
    ) -> Option<Group> {
        let can_start = offers.iter().filter(|(group, ready)| ready[priority as usize] && capacity.free(group) > 0);
        can_start
            .min_by_key(|(group, _)| self.groups[*group].head(priority).map(|due| due.since))
            .map(|(group, _)| group.clone())
    }

    fn take_batch(
        &mut self,
        group: &Group,
        turn: Priority,
        ready: [bool; 3],
        free: i64,
        settings: &BatchSettings,
    ) -> Option<Batch> {
        let waiting = self.groups.get_mut(group)?;
        let can_start = |priority: Priority| ready[priority as usize];
        // A higher priority that is never empty must not starve the group's lower ones.
        let highest = Priority::ALL.into_iter().find(|priority| can_start(*priority));
        let priority = if highest == Some(turn) { waiting.turns.next(can_start)? } else { turn };
        waiting.turns.served(priority, can_start);
        let (places, _) = waiting.members(priority, settings);
        let mut runs = Vec::with_capacity(places.len());
        for (priority, place) in places {
            if let Some(due) = waiting.by_priority[priority as usize].remove(&place) {
                self.positions.remove(&due.uid);
                runs.push(due);
            }
        }
        // The largest first: it must not run alone at the end of the Job.
        runs.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.schedule.cmp(&b.schedule)));
        let at_once = free.min(MAX_AT_ONCE).min(i64::try_from(runs.len()).unwrap_or(1)).max(1);
        (!runs.is_empty()).then(|| Batch { group: group.clone(), runs, at_once })
    }
}
