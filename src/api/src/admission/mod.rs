//! The admission policies that Sennight ships, the comparison of the installed ones with them, and forged writes that they
//! must refuse.

mod policies;
mod reserved;
mod schema;
mod status_policy;
mod weakness;

pub use schema::{RESTORE_REQUESTS, schema_difference};
pub use weakness::Weakness;

use super::RestoreRequest;
use super::conditions::{Condition, RequestCondition};
use super::restore_status::Decision;
use serde_json::{Value, json};

/// Each refusal of a Sennight policy begins with this word.
pub const DENIAL_PREFIX: &str = "sennight:";

/// API version of all policies and bindings.
pub const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// A policy or a binding as it must be installed.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Kind of the object.
    pub kind: &'static str,
    /// Plural of the kind, as in a URL.
    pub plural: &'static str,
    /// Name of the object. A policy and its binding share one.
    pub name: &'static str,
    /// The `spec` that it must have.
    pub spec: Value,
}

impl Guard {
    /// The object as it is installed.
    pub fn object(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/part-of": "sennight"}},
            "spec": self.spec
        })
    }

    /// Where the live object differs from what it must be; `None` is intact. See [`difference`].
    pub fn difference(&self, live: &Value) -> Option<String> {
        let empty = Value::Null;
        difference(&self.spec, live.get("spec").unwrap_or(&empty)).map(|path| format!("spec{path}"))
    }
}

/// Kind of the policies that refuse.
pub const POLICY: &str = "ValidatingAdmissionPolicy";
const POLICIES: &str = "validatingadmissionpolicies";

fn guards(kind: &'static str, plural: &'static str, name: &'static str, spec: Value) -> [Guard; 2] {
    let (binding, bindings, body) = if kind == POLICY {
        (
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            // Audit as well, so that a refused write stands in the API server's audit log.
            json!({"policyName": name, "validationActions": ["Deny", "Audit"]}),
        )
    } else {
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", json!({"policyName": name}))
    };
    [Guard { kind, plural, name, spec }, Guard { kind: binding, plural: bindings, name, spec: body }]
}

/// The policies that refuse, with their bindings. Without these, intact, no restore may run.
pub fn validating() -> Vec<Guard> {
    [
        (status_policy::STATUS, status_policy::status()),
        (policies::CREATE, policies::create()),
        (reserved::JOBS, reserved::jobs()),
        (reserved::PODS, reserved::pods()),
    ]
    .into_iter()
    .flat_map(|(name, spec)| guards(POLICY, POLICIES, name, spec))
    .collect()
}

/// The policy of `gate.fourEyes`, with its binding: for every mode, or for those that replace a database. Where the setting
/// asks for it, it is needed like those of [`validating`].
pub fn four_eyes(every_mode: bool) -> Vec<Guard> {
    guards(POLICY, POLICIES, policies::FOUR_EYES, policies::four_eyes(every_mode)).into()
}

/// The policies that write down who acted, with their bindings. They need Kubernetes 1.36; before it, people and systems
/// name themselves and [`validating`] checks that it is true.
pub fn mutating() -> Vec<Guard> {
    [(policies::STAMP_REQUESTER, policies::stamp_requester()), (policies::STAMP_DECIDER, policies::stamp_decider())]
        .into_iter()
        .flat_map(|(name, spec)| guards("MutatingAdmissionPolicy", "mutatingadmissionpolicies", name, spec))
        .collect()
}

/// The first place, as a JSON pointer, where `live` differs from `expected`. An additional field is a difference too, unless
/// it is empty: a `matchConditions` or selector that somebody added would let writes through.
pub fn difference(expected: &Value, live: &Value) -> Option<String> {
    match (expected, live) {
        (Value::Object(want), Value::Object(have)) => {
            let missing = want.iter().find_map(|(key, value)| {
                let other = have.get(key).unwrap_or(&Value::Null);
                if is_empty(value) && is_empty(other) {
                    return None;
                }
                difference(value, other).map(|rest| format!("/{key}{rest}"))
            });
            missing.or_else(|| {
                have.iter()
                    .find(|(key, value)| !want.contains_key(*key) && !is_empty(value))
                    .map(|(key, _)| format!("/{key}"))
            })
        }
        (Value::Array(want), Value::Array(have)) => {
            if want.len() != have.len() {
                return Some(String::new());
            }
            want.iter()
                .zip(have)
                .enumerate()
                .find_map(|(index, (a, b))| difference(a, b).map(|rest| format!("/{index}{rest}")))
        }
        // `1` and `1.0` are one number: Rust's types and the API server write it differently.
        (Value::Number(want), Value::Number(have)) => (want.as_f64() != have.as_f64()).then(String::new),
        (want, have) => (want != have).then(String::new),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether an API server's refusal came from one of our policies. Any other refusal (RBAC, schema, a missing object)
/// proves nothing about them.
pub fn is_own_refusal(message: &str) -> bool {
    // Both parts: another policy may use our word, and one of ours that fails to evaluate refuses without it.
    message.contains("ValidatingAdmissionPolicy 'sennight-")
        && message.contains(&format!("denied request: {DENIAL_PREFIX}"))
}

/// A write that only another party may make.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgery {
    /// What it forges, for a message.
    pub what: &'static str,
    /// A merge patch for the `status` subresource, to be tried with `dryRun=All` and never otherwise.
    pub patch: Value,
}

/// Dry-run writes that test whether the policies work: each must be refused, with [`is_own_refusal`]. For requests that are
/// neither claimed nor ended nor denied: on those, rules of the schema refuse first.
pub fn forgeries(request: &RestoreRequest) -> Vec<Forgery> {
    let status = request.status.clone().unwrap_or_default();
    let decision = match status.approval.map(|approval| approval.decision) {
        // Another decision than the one that stands: a write that changes nothing would rightly be let through.
        Some(Decision::Approved) => Decision::Denied,
        Some(Decision::Denied) | None => Decision::Approved,
    };
    let mut conditions = status.conditions;
    // All conditions are sent: a merge patch replaces the list, and one that lost some would be refused by the schema,
    // which proves nothing about the policies.
    conditions.retain(|condition| condition.type_ != RequestCondition::Paid.as_ref());
    conditions.push(Condition::new(RequestCondition::Paid, true, "Forged", "a probe of the operator's"));
    vec![
        Forgery { what: "status.approval", patch: json!({"status": {"approval": {"decision": decision}}}) },
        Forgery { what: "condition Paid", patch: json!({"status": {"conditions": conditions}}) },
        Forgery { what: "status.payment", patch: json!({"status": {"payment": {"reference": "sennight-probe"}}}) },
    ]
}

/// A dry-run write that only billing may do once a request has ended. It tests the policies where no request is open.
pub fn late_forgery() -> Forgery {
    let refund = json!({"status": {"payment": {"refund": {"reference": "sennight-probe"}}}});
    Forgery { what: "status.payment.refund", patch: refund }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_a_weakened_policy_is_told_from_an_intact_one() {
        let guard = &validating()[0];
        let mut live = guard.object();
        assert_eq!(guard.difference(&live), None);
        live["spec"]["paramKind"] = Value::Null;
        live["spec"]["matchConstraints"]["excludeResourceRules"] = json!([]);
        assert_eq!(guard.difference(&live), None, "what is empty opens nothing");
        for (pointer, value) in [
            ("/spec/failurePolicy", json!("Ignore")),
            ("/spec/validations/0/expression", json!("true")),
            ("/spec/matchConstraints/namespaceSelector", json!({"matchLabels": {"a": "b"}})),
            ("/spec/validations", json!([])),
        ] {
            let mut weak = live.clone();
            *weak.pointer_mut(pointer).unwrap() = value;
            let found = guard.difference(&weak).unwrap();
            assert!(format!("/{found}").starts_with(pointer), "{pointer}: {found}");
        }
        live["spec"]["matchConditions"] = json!([{"name": "never", "expression": "false"}]);
        assert_eq!(guard.difference(&live).as_deref(), Some("spec/matchConditions"));
        assert!(guard.difference(&json!({})).is_some());
    }

    #[test]
    fn i6_a_binding_that_only_warns_is_told() {
        let binding = &validating()[1];
        let mut live = binding.object();
        live["spec"]["validationActions"] = json!(["Warn", "Audit"]);
        assert_eq!(binding.difference(&live).as_deref(), Some("spec/validationActions/0"));
    }

    #[test]
    fn i6_only_our_own_refusal_counts() {
        assert!(is_own_refusal(
            "restorerequests.sennight.dev \"a\" is forbidden: ValidatingAdmissionPolicy 'sennight-restorerequest-status' with \
             binding 'sennight-restorerequest-status' denied request: sennight: status.approval is the helpdesk's"
        ));
        assert!(!is_own_refusal("restorerequests.sennight.dev \"a\" is forbidden: User \"sennight:\" cannot patch"));
    }
}
