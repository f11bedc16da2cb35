//! The gate as it is in the cluster, to be weakened at one place at a time and put back.

use crate::forging::until_so;
use crate::scene::Senders;
use sennight_api::{admission, crds};
use serde_json::{Value, json};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/restorerequests.sennight.dev";

/// What is to be sent: the specs of the policies that refuse, by name, and the definition's.
#[derive(Clone)]
pub struct Gate {
    /// Name and spec of each policy.
    pub policies: Vec<(&'static str, Value)>,
    /// Spec of the definition of RestoreRequest.
    pub definition: Value,
}

impl Gate {
    /// As shipped.
    pub fn shipped() -> Self {
        let policies = admission::validating().into_iter().filter(|guard| guard.kind == admission::POLICY);
        let definition =
            crds::all().unwrap().into_iter().find(|crd| crd.spec.names.plural == "restorerequests").unwrap();
        Self {
            policies: policies.map(|guard| (guard.name, guard.spec)).collect(),
            definition: serde_json::to_value(definition.spec).unwrap(),
        }
    }

    fn policy(&mut self, name: &str) -> &mut Value {
        &mut self.policies.iter_mut().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no policy {name}")).1
    }

    /// A validation that refuses nothing any more.
    pub fn validation(&mut self, policy: &str, number: usize) {
        self.policy(policy)["validations"][number]["expression"] = json!("true");
    }

    /// Replaces a piece of an expression; it must be there. Validations have no name: theirs is a part of the message.
    pub fn expression(&mut self, policy: &str, list: &str, name: &str, piece: &str, by: &str) {
        let all = self.policy(policy)[list].as_array_mut().unwrap();
        let named = |item: &&mut Value| {
            item["name"] == name || item["message"].as_str().is_some_and(|message| message.contains(name))
        };
        let one = all.iter_mut().find(named).unwrap_or_else(|| panic!("no {list} {name}"));
        let text = one["expression"].as_str().unwrap();
        assert_eq!(text.matches(piece).count(), 1, "{name}: {piece:?} in {text:?}");
        one["expression"] = json!(text.replace(piece, by));
    }

    /// Takes a resource out of what a policy looks at.
    pub fn unwatch(&mut self, policy: &str, resource: &str) {
        let rules = self.policy(policy)["matchConstraints"]["resourceRules"].as_array_mut().unwrap();
        for rule in rules.iter_mut() {
            rule["resources"].as_array_mut().unwrap().retain(|known| known != resource);
        }
        rules.retain(|rule| !rule["resources"].as_array().unwrap().is_empty());
    }

    /// A rule of the definition that refuses nothing any more: the one whose message contains `says`, below `at`.
    pub fn rule(&mut self, at: &str, says: &str) {
        let pointer = format!("/versions/0/schema/openAPIV3Schema{at}/x-kubernetes-validations");
        let rules = self
            .definition
            .pointer_mut(&pointer)
            .and_then(Value::as_array_mut)
            .unwrap_or_else(|| panic!("no {pointer}"));
        let before = rules.len();
        rules.retain(|rule| !rule["message"].as_str().unwrap().contains(says));
        assert_eq!(rules.len() + 1, before, "{says:?} at {pointer}");
    }

    /// Changes anything of the definition's schema.
    pub fn schema(&mut self, at: &str, value: Value) {
        *self.definition.pointer_mut(&format!("/versions/0/schema/openAPIV3Schema{at}")).unwrap() = value;
    }

    /// Makes the cluster's gate this one, where it differs from `other`.
    pub async fn enforce(&self, other: &Self, senders: &Senders) {
        for ((name, spec), (_, old)) in self.policies.iter().zip(&other.policies) {
            if spec != old {
                let path = format!("/apis/{}/validatingadmissionpolicies/{name}", admission::API_VERSION);
                put(senders, &path, spec).await;
            }
        }
        if self.definition != other.definition {
            put(senders, DEFINITION, &self.definition).await;
        }
    }
}

/// Writes a spec over the one that is there.
async fn put(senders: &Senders, path: &str, spec: &Value) {
    until_so(path, async |_| {
        let mut object = senders.send(("", None), "GET", path, "application/json", String::new()).await.unwrap();
        object["spec"] = spec.clone();
        match senders.send(("", None), "PUT", path, "application/json", object.to_string()).await {
            Ok(_) => true,
            // The definition's controllers write, too.
            Err(said) if said.contains("the object has been modified") => false,
            Err(said) => panic!("{path}: {said}"),
        }
    })
    .await;
}
