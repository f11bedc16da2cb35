//! The chart, rendered by the real Helm: least privilege, restricted pods.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

/// The cluster that config/install.yaml is for; tests/cluster/generate.sh says the same.
pub const CLUSTER: [&str; 4] =
    ["--kube-version", "1.36.0", "--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];

pub fn root() -> PathBuf {
    testkit::repository().to_owned()
}

fn helm(arguments: &[&str]) -> Output {
    let program = std::env::var("SENNIGHT_TEST_HELM").unwrap_or_else(|_| "helm".to_owned());
    Command::new(&program).args(arguments).current_dir(root()).output().unwrap_or_else(|fault| {
        panic!(
            "{program}: {fault}: install Helm 3, or name one in SENNIGHT_TEST_HELM (tests/cluster/tools.sh builds it)"
        )
    })
}

pub fn text(more: &[&str]) -> String {
    let mut arguments = vec!["template", "sennight", "charts/sennight", "--namespace", "sennight-system"];
    arguments.extend(more);
    let output = helm(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn render(more: &[&str]) -> Vec<Value> {
    let mut arguments = CLUSTER.to_vec();
    arguments.extend(more);
    documents(&text(&arguments))
}

pub fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| {
            serde_saphyr::from_str::<Value>(document).unwrap_or_else(|fault| panic!("{fault}:\n{document}"))
        })
        .filter(|document| !document.is_null())
        .collect()
}

fn of<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|object| object["kind"] == kind).collect()
}

fn named<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    of(all, kind)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// (apiGroup, resource, verb) of all rules of a role.
fn rights(role: &Value) -> Vec<(String, String, String)> {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut all = vec![];
    for rule in role["rules"].as_array().unwrap() {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                all.extend(list(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    all
}

fn may(role: &Value, resource: &str, verb: &str) -> bool {
    rights(role).iter().any(|(_, r, v)| r == resource && v == verb)
}

const NARROW: [&str; 2] = ["--set", "watchNamespaces={tenants-a,tenants-b}"];

#[test]
fn the_chart_passes_helms_own_check_and_unknown_values_are_refused() {
    let lint = helm(&["lint", "--strict", "charts/sennight"]);
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    for wrong in ["operator.maxDump=3", "replicas=-1", "gate.fourEyes=Nobody", "watchNamespaces={Not_A_Name}", "typo=1"]
    {
        let output = helm(&["template", "s", "charts/sennight", "--kube-version", "1.36.0", "--set", wrong]);
        assert!(!output.status.success(), "{wrong} was taken");
    }
}

#[test]
fn i6_nobody_gets_a_star_and_nobody_holds_two_keys() {
    for all in [render(&[]), render(&NARROW)] {
        let mut roles = of(&all, "ClusterRole");
        roles.extend(of(&all, "Role"));
        assert!(roles.len() >= 5);
        for role in &roles {
            let name = &role["metadata"]["name"];
            let keys: Vec<_> = rights(role)
                .into_iter()
                .inspect(|right| assert!(right.0 != "*" && right.1 != "*" && right.2 != "*", "{name}: {right:?}"))
                .filter(|(_, _, verb)| ["approve", "settle", "operate"].contains(&verb.as_str()))
                .collect();
            assert!(keys.len() <= 1, "{name} holds {keys:?}");
            assert!(keys.iter().all(|(group, resource, _)| group == "sennight.dev" && resource == "restorerequests"));
        }
        assert!(may(named(&all, "ClusterRole", "sennight-helpdesk"), "restorerequests", "approve"));
        assert!(may(named(&all, "ClusterRole", "sennight-billing"), "restorerequests", "settle"));
        let platform = rights(named(&all, "ClusterRole", "sennight-platform"));
        assert!(!platform.iter().any(|(_, resource, _)| resource.contains('/')), "no status for the platform team");
        assert!(of(&all, "ClusterRoleBinding").iter().all(|b| b["metadata"]["name"] == "sennight-operator"));
    }
}

#[test]
fn i9_the_operator_reads_secrets_by_name_and_only_where_it_serves() {
    let narrow = render(&NARROW);
    let wide = render(&[]);
    assert!(!may(named(&narrow, "ClusterRole", "sennight-operator"), "secrets", "get"), "Roles, not a ClusterRole");
    assert!(may(named(&wide, "ClusterRole", "sennight-operator"), "secrets", "get"));
    let roles = of(&narrow, "Role").into_iter().filter(|role| role["metadata"]["name"] == "sennight-operator");
    let namespaces: Vec<_> = roles.clone().map(|role| role["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(namespaces, ["tenants-a", "tenants-b"]);
    for role in roles.chain(of(&wide, "ClusterRole")) {
        for verb in ["list", "watch", "create", "update", "patch", "delete"] {
            assert!(!may(role, "secrets", verb), "{} may {verb} Secrets", role["metadata"]["name"]);
        }
        for (_, resource, _) in rights(role) {
            assert!(!["pods/exec", "pods/attach", "serviceaccounts/token"].contains(&resource.as_str()), "{resource}");
        }
    }
}

#[test]
fn the_operators_pod_is_restricted_and_probed() {
    let all = render(&NARROW);
    let deployment = named(&all, "Deployment", "sennight");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert!(container["resources"]["limits"]["memory"].is_string());
    let arguments: Vec<_> = container["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!(arguments[0], "operator");
    assert!(arguments.contains(&"--watch-namespaces=tenants-a,tenants-b"), "{arguments:?}");
    assert!(arguments.contains(&"--worker-image=sennight:0.1.0"), "{arguments:?}");
}

#[test]
fn a_services_and_a_policys_selector_hit_the_operator_and_nothing_else() {
    let all = render(&["--set", "replicas=2"]);
    let labels = &named(&all, "Deployment", "sennight")["spec"]["template"]["metadata"]["labels"];
    let selectors = [
        &named(&all, "Service", "sennight-metrics")["spec"]["selector"],
        &named(&all, "NetworkPolicy", "sennight")["spec"]["podSelector"]["matchLabels"],
        &named(&all, "PodDisruptionBudget", "sennight")["spec"]["selector"]["matchLabels"],
    ];
    for selector in selectors {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[key], value, "{key}");
        }
        assert_eq!(selector["app.kubernetes.io/component"], "operator", "workers are not meant");
    }
    assert!(of(&render(&[]), "PodDisruptionBudget").is_empty(), "one replica must not block a drain");
}

#[test]
fn crds_outlive_the_release_and_stamps_need_a_server_that_knows_them() {
    let all = render(&[]);
    let crds = of(&all, "CustomResourceDefinition");
    assert_eq!(crds.len(), 5);
    for crd in crds {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    assert_eq!(of(&all, "MutatingAdmissionPolicy").len(), 2);
    let older = documents(&text(&["--kube-version", "1.33.0"]));
    assert_eq!(of(&older, "MutatingAdmissionPolicy").len(), 0);
    assert_eq!(of(&older, "ValidatingAdmissionPolicy").len(), 4, "the refusing ones are always there");
    let bare = render(&["--set", "crds.install=false", "--set", "admission.install=false"]);
    assert!(of(&bare, "CustomResourceDefinition").is_empty() && of(&bare, "ValidatingAdmissionPolicy").is_empty());
}

#[test]
fn the_policies_of_the_chart_are_the_ones_the_operator_insists_on() {
    let all = render(&[]);
    let guards = sennight_api::admission::validating().into_iter().chain(sennight_api::admission::mutating());
    for guard in guards {
        let live = named(&all, guard.kind, guard.name);
        assert_eq!(guard.difference(live), None, "{} {}", guard.kind, guard.name);
    }
    for (setting, every_mode) in [("FullRestore", false), ("All", true)] {
        let all = render(&["--set", &format!("gate.fourEyes={setting}")]);
        for guard in sennight_api::admission::four_eyes(every_mode) {
            let live = named(&all, guard.kind, guard.name);
            assert_eq!(guard.difference(live), None, "{} {}", guard.kind, guard.name);
        }
        let deployment = named(&all, "Deployment", "sennight");
        let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        assert!(arguments.contains(&json!(format!("--four-eyes={setting}"))), "{arguments:?}");
    }
}

#[test]
fn the_profile_is_shipped_into_the_namespaces_that_ask_for_it() {
    assert!(of(&render(&[]), "ExportProfile").is_empty());
    let all = render(&["--set", "profiles.bitrix24Crm.namespaces={tenants-a,tenants-b}"]);
    let profiles = of(&all, "ExportProfile");
    let namespaces: Vec<_> = profiles.iter().map(|p| p["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(namespaces, ["tenants-a", "tenants-b"]);
    let spec = serde_json::from_value::<sennight_api::ExportProfileSpec>(profiles[0]["spec"].clone()).unwrap();
    let names: Vec<_> = spec.entities.iter().map(|entity| entity.name.as_str()).collect();
    assert_eq!(names, ["companies", "contacts", "leads", "deals"], "in the order to import them");
}

#[test]
fn worker_accounts_have_no_token() {
    let all = render(&[&NARROW[..], &["--set", "worker.serviceAccount.create=true"]].concat());
    let workers: Vec<_> =
        of(&all, "ServiceAccount").into_iter().filter(|a| a["metadata"]["name"] == "sennight-worker").collect();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|account| account["automountServiceAccountToken"] == false));
}
