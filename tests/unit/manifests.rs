//! What lies in config/ for kubectl, and the commands of README: manifests that are the chart's image, samples that are valid, name
//! nothing that is not among them and are born whole. tests/api/readme.rs runs both on a real API server.

use crate::chart::{CLUSTER, documents, root, text};
use sennight_api::{
    BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest, RestoreRequestStatus,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn without_comment(text: &str) -> String {
    text.lines().skip_while(|line| line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn the_plain_manifests_are_their_namespace_and_what_the_chart_renders() {
    for (file_name, cluster) in
        [("install.yaml", &CLUSTER[..]), ("install-before-1.36.yaml", &["--kube-version", "1.33.0"])]
    {
        let committed = without_comment(&file(&format!("config/{file_name}")));
        let (namespace, body) = committed.split_once("---\n").unwrap();
        assert!(body == text(cluster).trim_start_matches("---\n"), "config/{file_name} lags: run make generate");
        let namespace = serde_saphyr::from_str::<Value>(namespace).unwrap();
        assert_eq!(namespace["kind"], "Namespace", "{file_name}: before everything that lies in it");
        for object in documents(body) {
            let lies_in = &object["metadata"]["namespace"];
            assert!(lies_in.is_null() || *lies_in == namespace["metadata"]["name"], "{file_name}: {lies_in}");
        }
    }
}

#[test]
fn the_page_of_metrics_lists_what_the_operator_registers() {
    let table = sennight_operator::runtime::telemetry::documentation();
    assert!(file("docs/metrics.md").contains(&table), "docs/metrics.md lags; its table is\n{table}");
    assert_eq!(file("docs/metrics.md").matches("\n| `sennight_").count(), table.matches("\n| `sennight_").count());
}

/// The samples below a folder, by path and in the order in which kubectl applies them.
fn samples(folder: &str) -> Vec<(String, Vec<Value>)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), documents(&file(&name(path))))).collect()
}

/// Reads the object as its kind; the days of requests are for their reader to write.
fn read(path: &str, mut object: Value) {
    let kind = object["kind"].as_str().unwrap().to_owned();
    let read = match kind.as_str() {
        "BackupStorage" => serde_json::from_value::<BackupStorage>(object).map(drop),
        "DatabaseServer" => serde_json::from_value::<DatabaseServer>(object).map(drop),
        "BackupSchedule" => serde_json::from_value::<BackupSchedule>(object).map(drop),
        "ExportProfile" => serde_json::from_value::<ExportProfile>(object).map(drop),
        "RestoreRequest" if object["spec"].is_null() => {
            serde_json::from_value::<RestoreRequestStatus>(object["status"].take()).map(drop)
        }
        "RestoreRequest" => {
            assert_eq!(object["spec"]["date"], "DATE", "{path}: a day of its own would be over some week");
            assert!(object["spec"]["window"].is_null(), "{path}: a window of its own would be over some week");
            object["spec"]["date"] = json!("2026-11-20");
            serde_json::from_value::<RestoreRequest>(object).map(drop)
        }
        "Namespace" | "Secret" => Ok(()),
        other => panic!("{path}: a sample of {other}?"),
    };
    read.unwrap_or_else(|fault| panic!("{path}: {kind}: {fault}"));
}

#[test]
fn samples_are_valid_objects_of_the_kinds_they_name_and_explain_themselves() {
    let all = [samples("config/samples"), samples("config/samples/restore")].concat();
    for (path, objects) in &all {
        assert!(file(path).starts_with("# "), "{path} explains itself");
        for object in objects {
            read(path, object.clone());
        }
    }
    let first = &all[0].1[0];
    assert_eq!(first["kind"], "Namespace", "kubectl applies a folder by its files' names");
}

/// (kind, name) of everything that the object names, by the field's own name.
fn names(value: &Value, found: &mut BTreeSet<(String, String)>) {
    let Value::Object(fields) = value else {
        if let Value::Array(items) = value {
            for item in items {
                names(item, found);
            }
        }
        return;
    };
    for (field, inner) in fields {
        let kind = match field.as_str() {
            "storageRef" => "BackupStorage",
            "serverRef" => "DatabaseServer",
            "scheduleRef" => "BackupSchedule",
            "exportProfileRef" => "ExportProfile",
            other if other.ends_with("SecretRef") => "Secret",
            _ => "",
        };
        if !kind.is_empty() {
            found.insert((kind.to_owned(), inner["name"].as_str().unwrap().to_owned()));
        }
        names(inner, found);
    }
}

#[test]
fn samples_name_nothing_that_is_not_among_them() {
    let (mut there, mut named) = (BTreeSet::new(), BTreeSet::new());
    for (path, objects) in samples("config/samples") {
        for object in objects {
            let name = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
            if object["kind"] != "Namespace" {
                assert_eq!(name("namespace").as_deref(), Some("tenants"), "{path}");
            }
            there.insert((object["kind"].as_str().unwrap().to_owned(), name("name").unwrap()));
            names(&object["spec"], &mut named);
        }
    }
    for object in samples("config/samples/restore").iter().flat_map(|(_, objects)| objects) {
        names(&object["spec"], &mut named);
    }
    assert!(named.len() >= 8, "{named:?}");
    let missing: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty(), "named and not among the samples: {missing:?}");
}

#[test]
fn the_samples_profile_is_the_charts_in_the_samples_namespace() {
    let chart = file("charts/sennight/profiles/bitrix24-crm.yaml");
    let expected = chart.replace("\n  name: bitrix24-crm\n", "\n  name: bitrix24-crm\n  namespace: tenants\n");
    let sample = file("config/samples/3-exportprofile.yaml");
    let (generated, body) = sample.split_once('\n').unwrap();
    assert!(generated.starts_with("# Generated"), "{generated}");
    assert!(body == expected, "config/samples/3-exportprofile.yaml lags: run make generate");
}

/// The first fenced block of README that holds this text.
fn block(readme: &str, holding: &str) -> String {
    let blocks = readme.split("\n```").skip(1).step_by(2);
    let mut found =
        blocks.filter(|block| block.contains(holding)).map(|block| block.split_once('\n').unwrap().1.to_owned());
    found.next().unwrap_or_else(|| panic!("README has no block with {holding}"))
}

#[test]
fn readmes_request_and_payment_are_the_samples() {
    let readme = file("README.md");
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let mut request = read(&block(&readme, "reason: an import"));
    request["spec"]["date"] = json!("DATE");
    assert_eq!(request, read(&file("config/samples/restore/crm-export.yaml")));
    let payment = block(&readme, "--field-manager=billing");
    let payment = payment.split_once("<<'YAML'\n").unwrap().1.split_once("\nYAML").unwrap().0;
    assert_eq!(read(payment), read(&file("config/samples/restore/payment.yaml")));
}

/// What CI runs is what README says, and nothing that README does not say.
#[test]
fn ci_runs_readmes_test_command_and_nothing_else() {
    let readme = file("README.md");
    let command = readme.lines().find_map(|line| line.strip_prefix("$ make test ")).map(|_| "make test");
    let ci = file(".ci/run");
    let last = ci.lines().last().unwrap();
    let run = last.strip_prefix(
        r#"exec env -i "${kept[@]}" CARGO_INCREMENTAL=0 SENNIGHT_KEEP_LOGS="$PWD/target/server-logs" "$@" "#,
    );
    assert_eq!(run, command, "the last line of .ci/run: {last}");
    assert!(!ci.contains("tools.sh"), "what is missing is installed by the command itself");
}
