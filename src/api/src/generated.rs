//! Every generated file of the API: definitions and admission policies as YAML.

use super::admission;
use super::crds::{CrdError, all};
use serde_json::Value;

/// The generated files as `(path from the project's root, text)`, always the same bytes. The CRDs are written twice, because
/// a Helm chart cannot include files from outside its own directory.
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
        // A policy and its binding in one file: applied alone, a policy binds nobody.
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
