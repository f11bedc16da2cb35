//! Forgeries: each is refused with the message that the documentation promises.

use crate::world::{ALICE, BILLING, OPERATOR, World, paid, refused};
use serde_json::json;

#[tokio::test]
async fn i6_nobody_writes_anothers_part() {
    let world = World::new().await;
    world.request("r").await;
    let approval = json!({"approval": {"decision": "Approved"}});
    refused(world.merge(BILLING, "r", approval.clone()).await, "takes the verb approve");
    refused(world.merge(OPERATOR, "r", approval).await, "takes the verb approve");
    for who in [ALICE, OPERATOR] {
        refused(world.apply(who, "x", "r", json!({"conditions": paid("True")})).await, "take the verb settle");
    }
    for who in [ALICE, BILLING] {
        refused(world.merge(who, "r", json!({"phase": "Complete"})).await, "the operator's");
    }
    assert_eq!(world.status("r").await, json!(null));
}
