//! How the modelled world moves: one write at a time, time and the bucket's rules, and what must hold after each step.

use super::*;

impl BucketModel {
    /// At most so many writes of whatever is under way, in any interleaving.
    pub fn work(&mut self, steps: u64, dice: &mut Dice, seen: &mut Seen) {
        for _ in 0..steps {
            self.programs.retain(|program| !program.is_empty());
            if self.programs.is_empty() {
                return;
            }
            let which = usize::try_from(dice.below(self.programs.len() as u64)).unwrap();
            let Some(write) = self.programs[which].pop_front() else { continue };
            let removes = matches!(write, Write::Delete(_) | Write::Retag(..) | Write::Held { .. });
            let result = self.write(write, seen);
            match result {
                Some(next) => {
                    for write in next.into_iter().rev() {
                        self.programs[which].push_front(write);
                    }
                }
                // The program met something that is gone: it ends, and the next attempt finds out.
                None => self.programs[which].clear(),
            }
            // What holds is looked at after each write that could break it, and at the end of a piece.
            if removes {
                self.check();
            }
        }
        self.check();
    }

    /// Carries one write out; `None` when its object is gone.
    fn write(&mut self, write: Write, seen: &mut Seen) -> Option<VecDeque<Write>> {
        let at = self.now;
        match write {
            Write::Put(key, tags) => {
                seen.backups += u64::from(key.ends_with(MANIFEST));
                self.objects.insert(key, Stored { at, tags });
            }
            // A release passes over what is gone, a hold does not.
            Write::Retag(key, tags) => match self.objects.get_mut(&key) {
                Some(object) => object.tags = tags,
                None if hold_of(&tags).is_some() => return None,
                None => {}
            },
            Write::Copy(from, to, tags) => {
                let there = self.objects.contains_key(&to);
                if !there {
                    self.objects.get(&from)?;
                    self.objects.insert(to, Stored { at, tags });
                }
            }
            Write::Delete(keys) => {
                for key in keys {
                    assert!(!self.foreign.contains_key(&key), "seed {}: {key} is not ours", self.seed);
                    self.objects.remove(&key);
                }
            }
            Write::Judge(found) => return Some(self.judge(found, seen)),
            Write::Held { request, prefix, keys, tags } => {
                return self.read_back(request, prefix, keys, tags.as_ref(), seen);
            }
            Write::Released(request) => self.requests[request].leaving = false,
        }
        Some(VecDeque::new())
    }

    fn read_back(
        &mut self,
        request: usize,
        prefix: String,
        keys: Vec<String>,
        tags: Option<&Tags>,
        seen: &mut Seen,
    ) -> Option<VecDeque<Write>> {
        for key in &keys {
            let object = self.objects.get(key)?;
            if tags.is_some_and(|tags| *tags != object.tags) {
                return None;
            }
        }
        let request = &mut self.requests[request];
        if request.open {
            seen.held += 1;
            request.place = prefix;
            request.held = Some(keys);
        }
        Some(VecDeque::new())
    }

    /// The operator and every worker end in the middle.
    pub fn crash(&mut self, seen: &mut Seen) {
        seen.crashes += u64::from(self.programs.iter().any(|program| !program.is_empty()));
        self.programs.clear();
    }

    /// Time passes; at each midnight the bucket's rules delete, or are late.
    pub fn pass(&mut self, time: TimeDelta, dice: &mut Dice, seen: &mut Seen) {
        let end = self.now + time;
        while self.now < end {
            let midnight = (self.now.date_naive() + TimeDelta::days(1)).and_time(NaiveTime::MIN).and_utc();
            self.now = midnight.min(end);
            // Uploads and operators that stand still that long have ended.
            self.programs.clear();
            if self.now == midnight && self.kind.rules && !dice.one_in(8) {
                self.apply_rules(seen);
            }
            self.check();
        }
    }

    fn apply_rules(&mut self, seen: &mut Seen) {
        let rules = self.policy.rules();
        let now = self.now;
        let before = self.objects.len();
        let over = |key: &String, object: &Stored| {
            rules.iter().any(|rule| {
                let Some(Expire::Days(days)) = rule.expire else { return false };
                let tagged = rule.tags.iter().all(|(key, value)| object.tags.get(key) == Some(value));
                rule.enabled && tagged && key.starts_with(&rule.prefix) && expires_at(object.at, days) <= now
            })
        };
        self.objects.retain(|key, object| !over(key, object));
        seen.expired += (before - self.objects.len()) as u64;
    }

    /// What must hold at every instant.
    fn check(&self) {
        let seed = self.seed;
        for (key, object) in &self.foreign {
            assert_eq!(self.objects.get(key), Some(object), "seed {seed}: a stranger's {key} was touched");
        }
        for request in self.requests.iter().filter(|request| request.open) {
            let until = request.expires + TimeDelta::days(i64::from(HOLD_DAYS)) - TimeDelta::hours(1);
            for key in request.held.iter().flatten().filter(|_| self.now < until) {
                assert!(self.objects.contains_key(key), "seed {seed}: I5: held {key} is gone at {}", self.now);
            }
        }
        // Rules delete in any order; what the operator and the workers do never leaves a backup that only seems whole.
        if !self.kind.rules {
            for backup in &self.backups {
                for keys in &backup.keys {
                    let there = |key: &String| self.objects.contains_key(key);
                    let exists = keys.last().is_some_and(there);
                    assert!(!exists || keys.iter().all(there), "seed {seed}: I4: {keys:?} has a manifest and gaps");
                }
            }
        }
    }

    /// Never younger than the retention, whatever the operator's clock says within reason.
    pub(super) fn check_age(&self, dir: &BackupDir) {
        let newest = dir.objects.iter().filter_map(|object| object.stored).max().unwrap();
        let age = self.now - newest;
        assert!(
            age + TimeDelta::minutes(10) >= TimeDelta::days(i64::from(DAYS)),
            "seed {}: swept after {age}",
            self.seed
        );
    }

    /// At the end nothing of ours is left.
    pub fn check_empty(&self) {
        let left: Vec<&String> = self.objects.keys().filter(|key| !self.foreign.contains_key(*key)).collect();
        assert!(left.is_empty(), "seed {}: {:?} at {}: {left:?}", self.seed, self.kind, self.now);
    }
}
