//! The five CustomResourceDefinitions as the API server gets them, and every generated file of the API.

use super::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest, admission};
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

/// One of them: RestoreRequest's.
pub fn restore_requests() -> Result<CustomResourceDefinition, CrdError> {
    finish(&RestoreRequest::crd())
}

/// What is generated from the types: `(path from the project's root, text)`, always the same bytes. The chart carries a
/// backup of everything, because a chart cannot reach outside its own directory.
pub fn files() -> Result<Vec<(String, String)>, CrdError> {
    let mut files = Vec::new();
    for crd in all()? {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let value = serde_json::to_value(&crd).map_err(|source| CrdError::Json { name: name.clone(), source })?;
        let text = yaml(&name, value)?;
        let file = format!("{}.yaml", crd.spec.names.plural);
        files.push((format!("crds/{file}"), text.clone()));
        files.push((format!("charts/sennight/files/crds/{file}"), text));
    }
    for (setting, guards) in [("FullRestore", admission::four_eyes(false)), ("All", admission::four_eyes(true))] {
        files.push((format!("charts/sennight/files/admission/four-eyes/{setting}.yaml"), pairs(&guards)?));
    }
    for (group, guards) in [("validating", admission::validating()), ("mutating", admission::mutating())] {
        for pair in guards.chunks(2) {
            let name = pair.first().map_or("", |guard| guard.name);
            files.push((format!("charts/sennight/files/admission/{group}/{name}.yaml"), pairs(pair)?));
        }
    }
    Ok(files)
}

/// A policy and its binding, as documents.
fn pairs(guards: &[admission::Guard]) -> Result<String, CrdError> {
    let mut text = String::new();
    for guard in guards {
        text.push_str("---\n");
        text.push_str(&yaml(guard.name, guard.object())?);
    }
    Ok(text)
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
    schema.remove("nullable");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("\n\n");
    }
}

fn yaml(name: &str, mut value: Value) -> Result<String, CrdError> {
    whole_numbers(&mut value);
    let body = serde_saphyr::to_string(&value).map_err(|source| CrdError::Yaml { name: name.to_owned(), source })?;
    Ok(format!("# Generated from src/api by `make generate`; do not edit.\n{body}"))
}

/// `minimum: 1.0` is what Kubernetes' types make of `minimum: 1`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within i32, as the line above says")]
            if let Some(float) = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 2e9) {
                *value = Value::from(float as i64);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
