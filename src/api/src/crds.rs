//! The five CustomResourceDefinitions as the API server gets them.

use super::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

/// Why a definition could not be written down. Each is a defect of the types, which a test finds.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// Not JSON.
    #[error("{name} is not plain JSON: {source}")]
    Json {
        /// Name of the definition.
        name: String,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// Not YAML.
    #[error("{name} does not go into YAML: {source}")]
    Yaml {
        /// Name of the definition.
        name: String,
        /// What was wrong.
        source: serde_saphyr::ser::Error,
    },
}

/// All CustomResourceDefinitions as the API server gets them, in the order of their names: descriptions are whole
/// paragraphs, and no field is nullable (`null` then means absent, for everybody).
pub fn all() -> Result<Vec<CustomResourceDefinition>, CrdError> {
    [BackupSchedule::crd(), BackupStorage::crd(), DatabaseServer::crd(), ExportProfile::crd(), RestoreRequest::crd()]
        .iter()
        .map(finish)
        .collect()
}

/// The CustomResourceDefinition of RestoreRequest.
pub fn restore_requests() -> Result<CustomResourceDefinition, CrdError> {
    finish(&RestoreRequest::crd())
}

fn finish(crd: &CustomResourceDefinition) -> Result<CustomResourceDefinition, CrdError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let json = |source| CrdError::Json { name: name.clone(), source };
    let mut value = serde_json::to_value(crd).map_err(json)?;
    if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
    }
    serde_json::from_value(value).map_err(json)
}

/// Walks a schema. `properties` is a map from names to schemas, everything else that is an object or list is one.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            tidy_one(fields);
            for (key, value) in fields.iter_mut() {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(tidy),
                    // These hold values and rules, no schemas: a value may have a key called `nullable` or
                    // `description`.
                    ("default" | "enum" | "x-kubernetes-validations", _) => {}
                    (_, other) => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn tidy_one(schema: &mut Map<String, Value>) {
    // Then the API server drops a `null`, so that absent has one form for everybody.
    schema.remove("nullable");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("\n\n");
    }
}
