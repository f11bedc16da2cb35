//! I5 as a model: random histories of dumps, holds, releases, patrols, rules at midnight, crashes between any two writes
//! and clocks that jump, over a bucket in memory. The decisions are the product's own; what stores do is modelled here and
//! compared with real ones in `stores.rs`.

use crate::model::{BucketModel, Kind};
use crate::scale::{Dice, cases, first_seed};
use chrono::TimeDelta;
use sennight_core::retention::patrol::Enforcer;

/// Events of one history.
const EVENTS: u64 = 50;

#[test]
fn i5_of_any_history_what_is_held_stays_what_is_over_goes_and_nothing_else_is_touched() {
    let (first, number) = (first_seed(), cases("retention", 100_000, |asked| asked * 50));
    let threads = std::thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap());
    let seen = std::thread::scope(|scope| {
        let part = |thread| {
            move || {
                let mut seen = Seen::default();
                (first..first + number)
                    .filter(|seed| seed % threads == thread)
                    .for_each(|seed| history(seed, &mut seen));
                seen
            }
        };
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(part(thread))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).fold(Seen::default(), Seen::plus)
    });
    println!("{seen:?}");
    // A model in which nothing happens proves nothing.
    assert!(seen.held > 0 && seen.swept > 0 && seen.expired > 0 && seen.crashes > 0 && seen.orphans > 0, "{seen:?}");
}

/// What the histories came across.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub backups: u64,
    pub held: u64,
    pub swept: u64,
    pub expired: u64,
    pub crashes: u64,
    pub orphans: u64,
}

impl Seen {
    fn plus(self, other: Self) -> Self {
        Self {
            backups: self.backups + other.backups,
            held: self.held + other.held,
            swept: self.swept + other.swept,
            expired: self.expired + other.expired,
            crashes: self.crashes + other.crashes,
            orphans: self.orphans + other.orphans,
        }
    }
}

fn history(seed: u64, seen: &mut Seen) {
    let mut dice = Dice::new(seed);
    let kinds = [Kind { tags: true, rules: true }, Kind { tags: true, rules: false }];
    let more = [Kind { tags: false, rules: true }, Kind { tags: false, rules: false }];
    let kind = [kinds, more].concat()[usize::try_from(dice.below(4)).unwrap()];
    let mut world = BucketModel::new(seed, kind, &mut dice);
    for _ in 0..EVENTS {
        match dice.below(12) {
            0..=2 => world.dump(&mut dice),
            3 => world.request(&mut dice),
            4 => world.end_request(&mut dice),
            5 => world.retry_holds(&mut dice),
            6 => world.begin_patrol(&mut dice),
            7 if dice.one_in(3) => world.crash(seen),
            8..=9 => {
                let hours = if dice.one_in(8) { 24 * dice.below(8) } else { dice.below(30) };
                world.pass(TimeDelta::hours(i64::try_from(hours).unwrap()), &mut dice, seen);
            }
            _ => {}
        }
        let steps = dice.below(10);
        world.work(steps, &mut dice, seen);
    }
    quiet_end(&mut world, &mut dice, seen);
}

/// Every request ends (some without letting go), time passes, patrols and rules do their work: nothing of ours is left.
fn quiet_end(world: &mut BucketModel, dice: &mut Dice, seen: &mut Seen) {
    world.crash(seen);
    world.forget_requests();
    for _ in 0..16 {
        world.pass(TimeDelta::days(1), dice, seen);
        world.begin_patrol(dice);
        world.work(u64::MAX, dice, seen);
    }
    world.check_empty();
    assert_eq!(world.enforcer(), if world.kind.rules { Enforcer::Rules } else { Enforcer::Operator });
}
