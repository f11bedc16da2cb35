//! What a test asks for, said as a sentence: `World::on_api("gate").with_people().alone().await`.

use super::{MALLORY, PEOPLE, World};
use crate::Bucket;
use crate::cluster::{self, BILLING, HELPDESK, Turn};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

/// A world that is asked for; `.await` makes it.
#[must_use]
pub struct Builder {
    test: String,
    on_servers: bool,
    with_people: bool,
    alone: bool,
    turn: Option<Arc<Turn>>,
}

impl Builder {
    pub(super) fn new(test: &str, on_servers: bool) -> Self {
        Self { test: test.to_owned(), on_servers, with_people: false, alone: false, turn: None }
    }

    /// With everybody of [`PEOPLE`] in their roles, and Mallory, who may edit what an administrator of a namespace may.
    pub fn with_people(self) -> Self {
        Self { with_people: true, ..self }
    }

    /// While no other test runs.
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// In the turn of another world: asking for another turn could wait for a test that waits for this one.
    pub fn beside(self, other: &World) -> Self {
        Self { turn: Some(Arc::clone(&other.turn)), ..self }
    }

    async fn build(self) -> World {
        let turn = match self.turn {
            Some(turn) => turn,
            None if self.alone => Arc::new(Turn::alone().await),
            None => Arc::new(Turn::among().await),
        };
        let (prefix, mut people) = if self.on_servers {
            ("requests-", vec![(HELPDESK, "sennight-helpdesk"), (BILLING, "sennight-billing")])
        } else {
            ("", vec![])
        };
        if self.with_people {
            people = [&PEOPLE[..], &[(MALLORY, "edit")]].concat();
        }
        let namespace = cluster::namespace(&format!("{prefix}{}", self.test), &people);
        let bucket = if self.on_servers { Some(Bucket::signed().await) } else { None };
        let world = World { namespace, bucket, admin: cluster::client("").await, turn };
        if self.on_servers {
            world.furnish();
        }
        world
    }
}

impl IntoFuture for Builder {
    type Output = World;
    type IntoFuture = Pin<Box<dyn Future<Output = World> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.build())
    }
}
