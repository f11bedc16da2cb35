//! Compares the installed CustomResourceDefinition of RestoreRequest with the shipped one. Its validation rules (a denial is
//! final, a claim never vanishes) protect a request as much as the admission policies do.

use crate::crds;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Name of the definition.
pub const RESTORE_REQUESTS: &str = "restorerequests.sennight.dev";

/// The guarding part of the shipped definition. Computed once: every claim compares it.
static SHIPPED: LazyLock<Option<Value>> = LazyLock::new(|| shipped().map(|whole| guarding_part(&whole)));

/// The first place where the installed definition differs from the shipped one, or a conversion could change objects;
/// `None` is intact. Descriptions and printer columns protect nothing and are not compared.
pub fn schema_difference(live: &Value) -> Option<String> {
    let Some(shipped) = &*SHIPPED else { return Some("the definition as shipped cannot be written down".to_owned()) };
    let spec = &live["spec"];
    // A conversion could rewrite what was signed.
    if !matches!(spec["conversion"]["strategy"].as_str(), None | Some("None")) {
        return Some("spec/conversion/strategy".to_owned());
    }
    // `difference` ignores empty objects; here the empty object matters: without it any write reaches status.
    for version in spec["versions"].as_array().into_iter().flatten() {
        if !version["subresources"]["status"].is_object() || version["subresources"]["scale"].is_object() {
            return Some("spec/versions/subresources".to_owned());
        }
    }
    super::difference(shipped, &guarding_part(live)).map(|path| format!("spec/versions{path}"))
}

/// The shipped definition. A test makes sure that it can be serialized.
fn shipped() -> Option<Value> {
    serde_json::to_value(crds::restore_requests().ok()?).ok()
}

/// Names, flags and schemas of the versions, without descriptions.
fn guarding_part(definition: &Value) -> Value {
    let versions = definition["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let versions = versions.into_iter().map(|version| {
        let mut schema = version["schema"].clone();
        remove_descriptions(&mut schema);
        json!({"name": version["name"], "served": version["served"], "storage": version["storage"], "schema": schema})
    });
    versions.collect()
}

/// Removes the descriptions of schemas; a property with the name `description` stays.
fn remove_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|key, value| !(key == "description" && value.is_string()));
            fields.values_mut().for_each(remove_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_descriptions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_a_definition_without_one_of_its_rules_is_told() {
        let live = shipped().unwrap();
        assert_eq!(schema_difference(&live), None);
        let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
        for (what, pointer, value) in [
            ("a rule of status", format!("{status}/x-kubernetes-validations/0/rule"), json!("true")),
            ("all rules of status", format!("{status}/x-kubernetes-validations"), json!([])),
            (
                "the look of a condition's type",
                format!("{status}/properties/conditions/items/properties/type/pattern"),
                json!(""),
            ),
            ("one entry a type", format!("{status}/properties/conditions/x-kubernetes-list-type"), json!("atomic")),
            ("the subresource", "/spec/versions/0/subresources".to_owned(), json!({})),
            ("the version's name", "/spec/versions/0/name".to_owned(), json!("v1")),
        ] {
            let mut weak = live.clone();
            *weak.pointer_mut(&pointer).unwrap() = value;
            assert!(schema_difference(&weak).is_some(), "{what}");
        }
        let mut weak = live.clone();
        weak["spec"]["conversion"] = json!({"strategy": "Webhook"});
        assert_eq!(schema_difference(&weak).as_deref(), Some("spec/conversion/strategy"));
        assert!(schema_difference(&json!({})).is_some());
        let mut described = live;
        *described.pointer_mut(&format!("{status}/description")).unwrap() = json!("other words");
        described["spec"]["versions"][0]["additionalPrinterColumns"] = json!([]);
        assert_eq!(schema_difference(&described), None, "words guard nothing");
    }
}
