//! The policies' own expressions, run here without an API server, say the same as the rules in `domain::authority`: rule by
//! rule, over thousands of random pairs of statuses and actors. `authorizer` and `request` are the test's own.

use cel::extractors::This;
use cel::objects::{Key, Map};
use cel::{Context, Program, Value as Cel};
use proptest::prelude::*;
use proptest::sample::select;
use sennight_api::admission::{self, DENIAL_PREFIX, Guard};
use sennight_core::authority::{Actor, Breach, FourEyes, Write, breaches};
use serde_json::{Map as Fields, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A policy, compiled.
struct Policy {
    variables: Vec<(String, Program)>,
    validations: Vec<(String, Program)>,
    annotation: Option<Program>,
}

impl Policy {
    fn of(guard: &Guard) -> Self {
        let list = |field: &str| guard.spec[field].as_array().cloned().unwrap_or_default();
        let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
        let compile = |expression: String| {
            Program::compile(&expression).unwrap_or_else(|fault| panic!("{}: {expression}: {fault}", guard.name))
        };
        Self {
            variables: list("variables").iter().map(|v| (text(v, "name"), compile(text(v, "expression")))).collect(),
            validations: list("validations")
                .iter()
                .map(|v| {
                    let message = text(v, "message");
                    let said = message.strip_prefix(DENIAL_PREFIX).unwrap().trim_start().to_owned();
                    (said, compile(text(v, "expression")))
                })
                .collect(),
            annotation: list("auditAnnotations").first().map(|a| compile(text(a, "valueExpression"))),
        }
    }

    /// What is said of each expression that is not true.
    fn refusals(&self, write: &Write<'_>) -> BTreeSet<String> {
        let context = self.context(write);
        let holds = |program: &Program| match program.execute(&context) {
            Ok(Cel::Bool(holds)) => holds,
            other => panic!("neither true nor false: {other:?}; before {}, after {}", write.before, write.after),
        };
        if let Some(annotation) = &self.annotation {
            assert!(matches!(annotation.execute(&context), Ok(Cel::String(_))), "an audit annotation is a string");
        }
        self.validations.iter().filter(|(_, program)| !holds(program)).map(|(said, _)| said.clone()).collect()
    }

    fn context(&self, write: &Write<'_>) -> Context<'static> {
        let mut context = Context::default();
        context.add_variable("oldObject", write.before).unwrap();
        context.add_variable("object", write.after).unwrap();
        let request = json!({
            "operation": "UPDATE", "namespace": "tenants", "name": "r", "userInfo": {"username": write.actor.name}
        });
        context.add_variable("request", request).unwrap();
        context.add_variable("authorizer", "authorizer").unwrap();
        for step in ["group", "resource", "namespace", "name"] {
            context.add_function(step, |This(so_far): This<Arc<String>>, _of: Arc<String>| so_far);
        }
        context.add_function("check", |This(_): This<Arc<String>>, verb: Arc<String>| verb);
        let Actor { approve, settle, operate, .. } = write.actor;
        context.add_function("allowed", move |This(verb): This<Arc<String>>| match verb.as_str() {
            "approve" => approve,
            "settle" => settle,
            "operate" => operate,
            _ => false,
        });
        let mut known: HashMap<Key, Cel> = HashMap::new();
        context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(known.clone()) }));
        for (name, program) in &self.variables {
            let value = program.execute(&context).unwrap_or_else(|fault| panic!("variable {name}: {fault}"));
            known.insert(Key::from(name.as_str()), value);
            context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(known.clone()) }));
        }
        context
    }
}

const PEOPLE: [&str; 4] = ["anna", "bert", "billing", "аnna"];

fn maybe(values: Vec<Value>) -> impl Strategy<Value = Value> {
    let mut all = vec![Value::Null];
    all.extend(values);
    select(all)
}

fn by() -> impl Strategy<Value = Value> {
    maybe(PEOPLE.map(Value::from).to_vec())
}

/// An object of those that are not null.
fn object(fields: Vec<(&str, Value)>) -> Value {
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(key, value)| (key.to_owned(), value)).collect::<Fields<_, _>>())
}

fn approval() -> impl Strategy<Value = Value> {
    let there = (select(vec!["Approved", "Denied"]), by(), maybe(vec![json!("owner called")]))
        .prop_map(|(decision, by, reason)| object(vec![("decision", decision.into()), ("by", by), ("reason", reason)]));
    prop_oneof![Just(Value::Null), there]
}

fn payment() -> impl Strategy<Value = Value> {
    let there = (
        maybe(vec![json!("INV-1"), json!("INV-2")]),
        by(),
        maybe(vec![
            json!({"reference": "R-1"}),
            json!({"reference": "R-2", "by": "billing"}),
            json!({"reference": "R-2", "by": "bert"}),
        ]),
    )
        .prop_map(|(reference, by, refund)| object(vec![("reference", reference), ("by", by), ("refund", refund)]));
    prop_oneof![Just(Value::Null), there]
}

fn conditions() -> impl Strategy<Value = Value> {
    let one = |kind: &'static str| {
        maybe(["True", "False"].map(|status| json!({"type": kind, "status": status, "reason": "R"})).to_vec())
    };
    let list = (one("Paid"), one("Eligible"), one("Approved"), any::<bool>()).prop_map(
        |(paid, eligible, approved, turned)| {
            let mut all: Vec<Value> = [paid, eligible, approved].into_iter().filter(|c| !c.is_null()).collect();
            if turned {
                all.reverse();
            }
            Value::Array(all)
        },
    );
    prop_oneof![1 => Just(Value::Null), 3 => list]
}

/// Each part of a status, and of the object about it.
fn parts() -> impl Strategy<Value = [Value; 7]> {
    let rest = maybe(vec![json!("Queued"), json!("Complete")]);
    let claim = prop_oneof![3 => Just(Value::Null), 1 => Just(json!({"attempt": 1, "job": "j"}))];
    let finished = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("2026-11-22T00:00:00Z"))];
    let unheard_of = maybe(vec![json!(1), json!({"a": [1, 2]})]);
    (approval(), payment(), conditions(), rest, claim, finished, unheard_of).prop_map(Into::into)
}

#[derive(Debug, Clone)]
struct Pair {
    before: Value,
    after: Value,
    who: &'static str,
    verbs: (bool, bool, bool),
    setting: FourEyes,
}

fn whole(parts: &[Value; 7], mode: &str, creator: &Value, deleting: bool, bare: bool) -> Value {
    let [approval, payment, conditions, phase, claim, finished, unheard_of] = parts.clone();
    let status = object(vec![
        ("approval", approval),
        ("payment", payment),
        ("conditions", conditions),
        ("phase", phase),
        ("claim", claim),
        ("finishedAt", finished),
        ("unheardOf", unheard_of),
    ]);
    let deleted = if deleting { json!("2026-11-22T00:00:00Z") } else { Value::Null };
    object(vec![
        ("metadata", object(vec![("name", json!("r")), ("deletionTimestamp", deleted)])),
        ("spec", object(vec![("mode", mode.into()), ("requestedBy", creator.clone())])),
        ("status", if bare && status == json!({}) { Value::Null } else { status }),
    ])
}

fn pair() -> impl Strategy<Value = Pair> {
    // Most parts stay as they are: else every write would break the first rule and hide the others.
    let changes = proptest::array::uniform7(prop_oneof![2 => Just(false), 1 => Just(true)]);
    let about = (
        select(vec!["CrmExport", "FullRestore", "Undo"]),
        by(),
        prop_oneof![4 => Just(false), 1 => Just(true)],
        any::<bool>(),
    );
    let setting = select(vec![FourEyes::None, FourEyes::FullRestore, FourEyes::All]);
    (parts(), parts(), changes, about, select(PEOPLE.to_vec()), any::<(bool, bool, bool)>(), setting).prop_map(
        |(old, new, changes, (mode, creator, deleting, bare), who, verbs, setting)| {
            let mut next = old.clone();
            for (index, changed) in changes.into_iter().enumerate() {
                if changed {
                    next[index] = new[index].clone();
                }
            }
            Pair {
                before: whole(&old, mode, &creator, deleting, bare),
                after: whole(&next, mode, &creator, deleting, bare),
                who,
                verbs,
                setting,
            }
        },
    )
}

thread_local! {
    static POLICIES: [Policy; 3] = {
        let status = admission::validating().into_iter().find(|guard| guard.name == "sennight-restorerequest-status").unwrap();
        [Policy::of(&status), Policy::of(&admission::four_eyes(false)[0]), Policy::of(&admission::four_eyes(true)[0])]
    };
}

fn by_cel(write: &Write<'_>) -> BTreeSet<String> {
    POLICIES.with(|[status, replacing, every]| {
        let mut said = status.refusals(write);
        said.extend(match write.four_eyes {
            FourEyes::None => BTreeSet::new(),
            FourEyes::FullRestore => replacing.refusals(write),
            FourEyes::All => every.refusals(write),
        });
        said
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn i6_the_rules_in_rust_and_the_policies_in_cel_refuse_the_same(pair in pair()) {
        let (approve, settle, operate) = pair.verbs;
        let actor = Actor { name: pair.who, approve, settle, operate };
        let write = Write { before: &pair.before, after: &pair.after, actor, four_eyes: pair.setting };
        let by_rust: BTreeSet<String> = breaches(&write).iter().map(Breach::to_string).collect();
        prop_assert_eq!(by_rust, by_cel(&write));
    }
}

#[test]
fn every_expression_of_every_policy_can_be_read() {
    let guards = admission::validating().into_iter().chain(admission::mutating());
    for guard in guards.chain(admission::four_eyes(false)).chain(admission::four_eyes(true)) {
        for list in ["matchConditions", "variables", "validations"] {
            for item in guard.spec[list].as_array().into_iter().flatten() {
                let text = item["expression"].as_str().unwrap();
                Program::compile(text).unwrap_or_else(|fault| panic!("{}: {list}: {text}: {fault}", guard.name));
            }
        }
    }
}

#[test]
fn i6_every_rule_of_the_policies_has_its_like_in_rust() {
    use strum::IntoEnumIterator;
    let settings = [FourEyes::FullRestore, FourEyes::All];
    let in_rust: BTreeSet<String> = Breach::iter()
        .flat_map(|breach| match breach {
            Breach::FourEyes(_) => settings.map(Breach::FourEyes).to_vec(),
            other => vec![other],
        })
        .map(|breach| breach.to_string())
        .collect();
    let in_cel: BTreeSet<String> = POLICIES
        .with(|all| all.iter().flat_map(|policy| policy.validations.iter().map(|(said, _)| said.clone())).collect());
    assert_eq!(in_rust, in_cel);
}
