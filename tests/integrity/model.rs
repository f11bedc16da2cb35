//! The bucket, its rules, and the operator's and workers' writes one by one, for `retention.rs`.

use crate::retention::Seen;
use crate::scale::Dice;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sennight_core::capabilities::Capabilities;
use sennight_core::manifest::MANIFEST;
use sennight_core::names::{Area, BackupId, Keys};
use sennight_core::retention::patrol::{BackupDir, Enforcer, Found, Grouper, Need, Object, Orders, Verdict};
use sennight_core::retention::{
    Expire, HOLD_DAYS, HoldMethod, Policy, daily_tags, expires_at, held_tags, held_until, hold_method, hold_of,
};
use std::collections::{BTreeMap, VecDeque};

type Tags = BTreeMap<String, String>;

const DAYS: i32 = 7;
const TENANTS: [&str; 3] = ["acme", "beta", "zeta"];

/// What the modelled store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub tags: bool,
    pub rules: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Stored {
    at: DateTime<Utc>,
    tags: Tags,
}

/// One write of a program that a crash may cut anywhere.
#[derive(Debug, Clone)]
enum Write {
    Put(String, Tags),
    Retag(String, Tags),
    Copy(String, String, Tags),
    Delete(Vec<String>),
    /// A page of a patrol: judged now, its writes come next.
    Judge(Vec<Found>),
    /// The hold has been read back: from here on the backup must stay.
    Held {
        request: usize,
        prefix: String,
        keys: Vec<String>,
        tags: Option<Tags>,
    },
    /// The request has let go.
    Released(usize),
}

#[derive(Debug)]
struct Request {
    id: BackupId,
    tenant: &'static str,
    expires: DateTime<Utc>,
    open: bool,
    /// The objects that must stay while it is open.
    held: Option<Vec<String>>,
    /// Where the held backup lies, and whether it is being let go.
    place: String,
    leaving: bool,
}

#[derive(Debug)]
struct Copy {
    id: BackupId,
    tenant: &'static str,
    names: Vec<String>,
    /// Keys of all objects in `daily/` and in `held/`, the manifest last.
    keys: [Vec<String>; 2],
}

pub struct BucketModel {
    seed: u64,
    pub kind: Kind,
    keys: Keys,
    now: DateTime<Utc>,
    /// The operator's clock beside the store's.
    skew: TimeDelta,
    objects: BTreeMap<String, Stored>,
    foreign: BTreeMap<String, Stored>,
    backups: Vec<Copy>,
    requests: Vec<Request>,
    programs: Vec<VecDeque<Write>>,
    policy: Policy,
}

impl BucketModel {
    pub fn new(seed: u64, kind: Kind, dice: &mut Dice) -> Self {
        // Without tags and without a prefix there are no rules: nothing would tell ours from others'.
        let prefix = if dice.one_in(3) && (kind.tags || !kind.rules) { "" } else { "p" };
        let now = DateTime::from_timestamp(1_764_000_000 + i64::try_from(dice.below(86_400)).unwrap(), 0).unwrap();
        let capabilities = Capabilities { tagging: kind.tags, lifecycle: kind.rules, ..Capabilities::default() };
        let keys = Keys::new(prefix);
        let root = keys.root().to_owned();
        let stranger = |key: String| (key, Stored { at: now, tags: Tags::new() });
        let outside = if root.is_empty() { "logs/x".to_owned() } else { "q/daily/ns/acme/x/manifest.json".to_owned() };
        let mut foreign: BTreeMap<_, _> = [stranger(outside), stranger("zz/readme".to_owned())].into();
        if root.is_empty() {
            // Others' folders of the names of ours.
            foreign
                .extend(["daily/ns/acme/notes.txt", "exports/q3.csv", "held/mail"].map(|key| stranger(key.to_owned())));
        }
        Self {
            seed,
            kind,
            now,
            skew: TimeDelta::minutes(i64::try_from(dice.below(11)).unwrap() - 5),
            objects: foreign.clone(),
            foreign,
            backups: Vec::new(),
            requests: Vec::new(),
            programs: Vec::new(),
            policy: Policy { bucket: "b".into(), prefix: root, days: DAYS, capabilities },
            keys,
        }
    }

    pub fn enforcer(&self) -> Enforcer {
        if self.kind.rules { Enforcer::Rules } else { Enforcer::Operator }
    }

    fn tagged(&self, tags: Tags) -> Tags {
        if self.kind.tags { tags } else { Tags::new() }
    }

    fn prefix(&self, area: Area, tenant: &str, id: &BackupId) -> String {
        self.keys.backup(area, "ns", tenant, id).unwrap()
    }

    /// A worker starts: data, then the manifest.
    pub fn dump(&mut self, dice: &mut Dice) {
        let tenant = TENANTS[usize::try_from(dice.below(3)).unwrap()];
        let id = BackupId::new(self.now, u32::try_from(dice.below(1 << 32)).unwrap());
        let prefix = self.prefix(Area::Daily, tenant, &id);
        let mut names: Vec<String> = (0..=dice.below(3)).map(|n| format!("data/{n}.zst")).collect();
        names.push("schema.pgdump".to_owned());
        names.push(MANIFEST.to_owned());
        let tags = self.tagged(daily_tags());
        self.programs.push(names.iter().map(|name| Write::Put(format!("{prefix}{name}"), tags.clone())).collect());
        let keys = [Area::Daily, Area::Held].map(|area| {
            let prefix = self.prefix(area, tenant, &id);
            names.iter().map(|name| format!("{prefix}{name}")).collect()
        });
        self.backups.push(Copy { id, tenant, names, keys });
    }

    /// A RestoreRequest pins a backup of the last week, unless another one of the tenant has it in hand.
    pub fn request(&mut self, dice: &mut Dice) {
        if self.backups.is_empty() {
            return;
        }
        let backup = &self.backups[usize::try_from(dice.below(self.backups.len() as u64)).unwrap()];
        let manifest = format!("{}{MANIFEST}", self.prefix(Area::Daily, backup.tenant, &backup.id));
        let expires = expires_at(backup.id.time(), DAYS);
        let rival = self.requests.iter().any(|r| r.tenant == backup.tenant && (r.open || r.leaving));
        if rival || !self.objects.contains_key(&manifest) || expires <= self.now + self.skew {
            return;
        }
        let (id, tenant) = (backup.id.clone(), backup.tenant);
        let place = self.prefix(Area::Daily, tenant, &id);
        self.requests.push(Request { id, tenant, expires, open: true, held: None, place, leaving: false });
        self.hold(self.requests.len() - 1);
    }

    /// As the store holds: data first, the manifest last, read back.
    fn hold(&mut self, request: usize) {
        let asked = &self.requests[request];
        let Some(backup) = self.backups.iter().find(|backup| backup.id == asked.id) else { return };
        let from = self.prefix(Area::Daily, backup.tenant, &backup.id);
        let known = self.objects.get(&format!("{from}{MANIFEST}")).and_then(|object| hold_of(&object.tags));
        let until = held_until(asked.expires, self.now + TimeDelta::days(11));
        let expires = if known.is_some() { DateTime::<Utc>::MAX_UTC } else { asked.expires };
        let tags = held_tags(known.map_or(until, |known| known.max(until)));
        let method = hold_method(self.policy.capabilities, expires, self.now + self.skew);
        let mut program = VecDeque::new();
        let to =
            if method == HoldMethod::Tag { from.clone() } else { self.prefix(Area::Held, backup.tenant, &backup.id) };
        for name in &backup.names {
            let (source, target) = (format!("{from}{name}"), format!("{to}{name}"));
            program.push_back(match method {
                HoldMethod::Tag => Write::Retag(source, tags.clone()),
                HoldMethod::Copy => Write::Copy(source, target, self.tagged(tags.clone())),
            });
        }
        let keys = backup.names.iter().map(|name| format!("{to}{name}")).collect();
        let tags = (method == HoldMethod::Tag).then_some(tags);
        program.push_back(Write::Held { request, prefix: to, keys, tags });
        self.programs.push(program);
    }

    /// Holds that a crash cut are placed again, if nobody is at them.
    pub fn retry_holds(&mut self, dice: &mut Dice) {
        if !self.programs.is_empty() || dice.one_in(4) {
            return;
        }
        for request in 0..self.requests.len() {
            if self.requests[request].open && self.requests[request].held.is_none() {
                self.hold(request);
            }
        }
        for request in 0..self.requests.len() {
            if self.requests[request].leaving {
                self.release(request);
            }
        }
    }

    /// A request ends and lets go, or is removed by force and does not.
    pub fn end_request(&mut self, dice: &mut Dice) {
        let open: Vec<usize> = (0..self.requests.len()).filter(|n| self.requests[*n].held.is_some()).collect();
        if open.is_empty() {
            return;
        }
        let request = open[usize::try_from(dice.below(open.len() as u64)).unwrap()];
        let ended = &mut self.requests[request];
        ended.open = false;
        ended.held = None;
        if !dice.one_in(4) {
            ended.leaving = true;
            self.release(request);
        }
    }

    fn release(&mut self, request: usize) {
        let ended = &self.requests[request];
        let Some(backup) = self.backups.iter().find(|backup| backup.id == ended.id) else { return };
        let mut keys: Vec<String> = backup.names.iter().map(|name| format!("{}{name}", ended.place)).collect();
        let manifest = keys.pop().unwrap();
        let mut program = VecDeque::new();
        if ended.place.starts_with(&self.keys.area(Area::Held)) {
            program.extend([Write::Delete(vec![manifest]), Write::Delete(keys)]);
        } else {
            program.extend([manifest].into_iter().chain(keys).map(|key| Write::Retag(key, daily_tags())));
        }
        program.push_back(Write::Released(request));
        self.programs.push(program);
    }

    pub fn forget_requests(&mut self) {
        for request in &mut self.requests {
            (request.open, request.leaving, request.held) = (false, false, None);
        }
    }

    fn orders(&self) -> Orders {
        Orders { days: DAYS, enforcer: self.enforcer(), release: true, now: self.now + self.skew }
    }

    fn need(&self, dir: &BackupDir) -> Need {
        Need { request: self.requests.iter().any(|r| r.open && r.id == dir.id), last_good: None }
    }

    /// The listing is taken now, page by page; what it says is judged later.
    pub fn begin_patrol(&mut self, dice: &mut Dice) {
        let mut program = VecDeque::new();
        for area in self.orders().areas() {
            let mut grouper = Grouper::new(&self.keys, area);
            let root = self.keys.area(area);
            let mut page = Vec::new();
            for (key, object) in self.objects.range(root.clone()..).take_while(|(key, _)| key.starts_with(&root)) {
                page.extend(grouper.push(Object { key: key.clone(), stored: Some(object.at) }));
                if dice.one_in(6) {
                    program.push_back(Write::Judge(std::mem::take(&mut page)));
                }
            }
            page.extend(grouper.finish());
            program.push_back(Write::Judge(page));
        }
        self.programs.push(program);
    }

    fn judge(&mut self, found: Vec<Found>, seen: &mut Seen) -> VecDeque<Write> {
        let orders = self.orders();
        let (mut first, mut then, mut writes) = (Vec::new(), Vec::new(), VecDeque::new());
        for found in found {
            let Found::Backup(dir) = found else { continue };
            let tags = self.objects.get(&dir.manifest()).map(|object| object.tags.clone());
            let reads = self.kind.tags && orders.needs_tags(&dir);
            if reads && tags.is_none() {
                continue;
            }
            let (manifest, rest) = dir.deletion();
            match orders.judge(&dir, tags.as_ref().filter(|_| reads), self.need(&dir)) {
                Verdict::Delete => {
                    self.check_age(&dir);
                    seen.swept += 1;
                    first.extend(manifest);
                    then.extend(rest);
                }
                Verdict::DeleteUnfinished if !self.objects.contains_key(&dir.manifest()) => then.extend(rest),
                Verdict::Release => {
                    seen.orphans += 1;
                    if dir.area == Area::Held {
                        writes.extend([Write::Delete(manifest.into_iter().collect()), Write::Delete(rest)]);
                    } else {
                        let all = manifest.into_iter().chain(rest);
                        writes.extend(all.map(|key| Write::Retag(key, daily_tags())));
                    }
                }
                Verdict::Keep | Verdict::DeleteUnfinished | Verdict::Orphan | Verdict::Overdue => {}
            }
        }
        writes.extend([Write::Delete(first), Write::Delete(then)]);
        writes
    }
}

mod steps;
