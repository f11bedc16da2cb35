//! Shell completion. kubectl runs the executable `kubectl_complete-sennight`, which runs this; the answer has the form of
//! kubectl's own completion: one candidate a line, a description after a tab, a directive at the end.

use super::args::{Args, ClusterArgs};
use super::cluster::Cluster;
use clap::{Command, CommandFactory};
use kube::ResourceExt;
use sennight_api::RestoreRequest;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_status::WaitingOn;
use std::path::PathBuf;
use std::time::Duration;

/// Directive against file names: cobra's ShellCompDirectiveNoFileComp.
const NO_FILES: &str = ":4";
/// How long names are fetched from the cluster: a shell that waits longer feels broken.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A proposed word and its description.
type Candidate = (String, String);

/// What the words so far ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    /// One of these words.
    Words(Vec<Candidate>),
    /// The name of a request that fits this verb.
    Request(String),
}

/// The answer for the words after `kubectl sennight`; the last one is being typed.
pub async fn answer(words: &[String]) -> String {
    let prefix = words.last().map(String::as_str).unwrap_or_default();
    let candidates = match completion(words) {
        Completion::Words(candidates) => candidates,
        Completion::Request(verb) => {
            let names = tokio::time::timeout(TIMEOUT, requests(&verb, &cluster(words))).await;
            names.unwrap_or_default()
        }
    };
    let fitting = candidates.into_iter().filter(|(word, _)| word.starts_with(prefix));
    let line = |(word, about): Candidate| if about.is_empty() { word } else { format!("{word}\t{about}") };
    let lines: Vec<String> = fitting.map(line).chain([NO_FILES.to_owned()]).collect();
    lines.join("\n")
}

/// What could come next.
pub fn completion(words: &[String]) -> Completion {
    let mut root = Args::command();
    root.build();
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = &root;
    let mut names = 0;
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if let Some(flag) = option(command, word) {
            // The flag's own value is what is being typed, or has been.
            if takes_value(flag) && !word.contains('=') && words.next().is_none() {
                return Completion::Words(values(flag));
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else {
            names += 1;
        }
    }
    if typed.starts_with('-') {
        return Completion::Words(flags(command));
    }
    let verbs: Vec<Candidate> = command
        .get_subcommands()
        // `__complete` itself is for kubectl, not for people.
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| described(verb.get_name(), verb.get_about()))
        .collect();
    if !verbs.is_empty() {
        return Completion::Words(verbs);
    }
    let mut places = command.get_positionals();
    match places.next() {
        Some(place) if names == 0 && place.get_id() == "name" => Completion::Request(command.get_name().to_owned()),
        Some(place) if names == 0 => Completion::Words(values(place)),
        Some(_) | None => Completion::Words(Vec::new()),
    }
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|flag| {
        let long = flag.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let short = flag.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str()));
        long || short
    })
}

/// Whether its value is the next word.
fn takes_value(flag: &clap::Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

fn values(flag: &clap::Arg) -> Vec<Candidate> {
    let values = flag.get_possible_values();
    values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| described(value.get_name(), value.get_help()))
        .collect()
}

fn flags(command: &Command) -> Vec<Candidate> {
    let long = |flag: &clap::Arg| flag.get_long().map(|long| described(&format!("--{long}"), flag.get_help()));
    command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(long).collect()
}

fn described(word: &str, about: Option<&clap::builder::StyledStr>) -> Candidate {
    let about = about.map(ToString::to_string).unwrap_or_default();
    (word.to_owned(), about.lines().next().unwrap_or_default().to_owned())
}

/// Which cluster the words so far name.
fn cluster(words: &[String]) -> ClusterArgs {
    let mut args = ClusterArgs::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
        let mut value = || value.clone().or_else(|| words.next().cloned());
        match name {
            "-n" | "--namespace" => args.namespace = value(),
            "--context" => args.context = value(),
            "--kubeconfig" => args.kubeconfig = value().map(PathBuf::from),
            _ => {}
        }
    }
    args
}

async fn requests(verb: &str, args: &ClusterArgs) -> Vec<Candidate> {
    // A shell shows no errors: without a cluster there is nothing to propose.
    let Ok(cluster) = Cluster::connect(args).await else { return Vec::new() };
    let found = cluster.requests(false, "").await.unwrap_or_default();
    let fitting = found.iter().filter(|request| fits(verb, request));
    fitting.map(|request| (request.name_any(), about(request))).collect()
}

/// Whether a verb makes sense for a request now.
fn fits(verb: &str, request: &RestoreRequest) -> bool {
    let status = request.status.clone().unwrap_or_default();
    let open = status.finished_at.is_none();
    match verb {
        "approve" => open && status.waiting_on == Some(WaitingOn::Helpdesk),
        "deny" | "settle" => open && status.claim.is_none(),
        "refund" => is_true(&status.conditions, RequestCondition::RefundDue),
        "link" => status.result.is_some_and(|result| result.key.is_some()),
        _ => true,
    }
}

fn about(request: &RestoreRequest) -> String {
    let status = request.status.clone().unwrap_or_default();
    let phase = status.phase.map_or_else(|| "new".to_owned(), |phase| phase.to_string());
    let tenant = status.tenant.unwrap_or_else(|| request.spec.schedule_ref.name.clone());
    format!("{tenant}, {}, {phase}, ticket {}", request.spec.mode, request.spec.ticket.id)
}
