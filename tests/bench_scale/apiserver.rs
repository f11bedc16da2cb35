//! What the API server counted: requests by verb and resource, from its own metrics.

use kube::Client;
use std::collections::BTreeMap;

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `LIST`, `APPLY`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// `status`, or nothing.
    pub subresource: String,
}

impl Call {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "GET" | "LIST" | "WATCH")
    }
}

/// How many of each.
#[derive(Debug, Clone, Default)]
pub struct Counted(BTreeMap<Call, f64>);

impl Counted {
    /// As of now.
    pub async fn read(client: &Client) -> Self {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = client.request_text(request).await.unwrap();
        let mut all = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
            let Some((labels, value)) = line.rsplit_once("} ") else { continue };
            let label = |name: &str| {
                let start = labels.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
                start.split('"').next().unwrap_or_default().to_owned()
            };
            let call = Call {
                verb: label("verb"),
                group: label("group"),
                // "resource" is also the end of "subresource".
                resource: labels
                    .split(",resource=\"")
                    .nth(1)
                    .and_then(|l| l.split('"').next())
                    .unwrap_or_default()
                    .to_owned(),
                subresource: label("subresource"),
            };
            *all.entry(call).or_default() += value.parse::<f64>().unwrap_or(0.0);
        }
        Self(all)
    }

    /// What came since.
    pub fn since(&self, earlier: &Self) -> Self {
        let new = |(call, count): (&Call, &f64)| {
            let grown = count - earlier.0.get(call).unwrap_or(&0.0);
            (grown > 0.0).then(|| (call.clone(), grown))
        };
        Self(self.0.iter().filter_map(new).collect())
    }

    /// What is left when others' part is taken off, kind by kind.
    pub fn without(&self, others: &Self) -> Self {
        self.since(others)
    }

    /// How many are so.
    pub fn count(&self, so: impl Fn(&Call) -> bool) -> f64 {
        self.0.iter().filter(|(call, _)| so(call)).map(|(_, count)| count).sum()
    }

    /// All of them, for eyes, the most frequent first.
    pub fn words(&self, so: impl Fn(&Call) -> bool) -> String {
        let mut all: Vec<_> = self.0.iter().filter(|(call, _)| so(call)).collect();
        all.sort_by(|a, b| b.1.total_cmp(a.1));
        let word = |(call, count): (&Call, &f64)| {
            let slash = if call.subresource.is_empty() { "" } else { "/" };
            format!("{count:.0} {} {}{slash}{}", call.verb, call.resource, call.subresource)
        };
        all.into_iter().take(12).map(word).collect::<Vec<_>>().join(", ")
    }
}

/// Whatever might be an operator's business: not its Lease, not its watches, not a look at /metrics or /readyz. What others ask
/// for is counted while no operator runs, and taken off.
pub fn business(call: &Call) -> bool {
    !call.verb.starts_with("WATCH") && call.resource != "leases" && !call.resource.is_empty()
}
