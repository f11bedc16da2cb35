//! A case of the table: who tries what, by which of the API's ways, and what must come of it.

use crate::scene::{Scene, Senders};
use sennight_api::admission;
use serde_json::{Value, json};
use testkit::world::World;

/// One line of the table.
pub struct Case {
    /// Who.
    pub who: &'static str,
    /// What they try, in words.
    pub tries: &'static str,
    /// On what.
    pub on: Scene,
    /// How.
    pub how: How,
    /// What must come of it.
    pub want: Want,
}

/// A way to write. `sub` is the subresource, empty for the object itself.
pub enum How {
    /// A merge patch.
    Merge(&'static str, Value),
    /// A JSON patch.
    Json(&'static str, Value),
    /// Server-side apply by a field manager, with force.
    Apply(&'static str, &'static str, Value),
    /// Read by the administrator, changed, and put back whole.
    Put(&'static str, fn(&mut Value)),
    /// A merge patch, byte for byte.
    Bytes(&'static str),
    /// Any request: method, path, content type, body. `{ns}` and `{name}` are filled in.
    Raw(&'static str, &'static str, &'static str, Value),
    /// A merge patch of the approval as somebody else, with one's own certificate.
    As(&'static str),
    /// Deleted and created again, with all that it had.
    Reborn,
}

/// What must come of it.
#[derive(Clone)]
pub enum Want {
    /// Refused by a policy of ours that says so.
    Refused(&'static str),
    /// Refused before a policy is asked (rights, schema, precondition) or where none is needed.
    Barred(&'static str),
    /// Taken, and without any effect on status.
    Ignored,
    /// Lawful: what status then holds.
    Allowed(Value),
}

const MERGE: &str = "application/merge-patch+json";
const PLAIN: &str = "application/json";

impl Case {
    /// Tries it, on a request of that name; what the API server says.
    pub async fn tried(&self, world: &World, senders: &Senders, name: &str, dry: bool) -> Result<Value, String> {
        let whole = format!("/apis/sennight.dev/v1alpha1/namespaces/{}/restorerequests", world.namespace);
        let at = |sub: &str| {
            let slash = if sub.is_empty() { "" } else { "/" };
            format!("{whole}/{name}{slash}{sub}{}", if dry { "?dryRun=All" } else { "" })
        };
        let me = (self.who, None);
        match &self.how {
            How::Merge(sub, body) => senders.send(me, "PATCH", &at(sub), MERGE, body.to_string()).await,
            How::Bytes(body) => senders.send(me, "PATCH", &at("status"), MERGE, (*body).to_owned()).await,
            How::Json(sub, body) => {
                senders.send(me, "PATCH", &at(sub), "application/json-patch+json", body.to_string()).await
            }
            How::Apply(sub, manager, fields) => {
                let mut body = json!({
                    "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
                    "metadata": {"name": name, "namespace": world.namespace}
                });
                body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
                let and = if dry { '&' } else { '?' };
                let path = format!("{}{and}fieldManager={manager}&force=true", at(sub));
                senders.send(me, "PATCH", &path, "application/apply-patch+yaml", body.to_string()).await
            }
            How::Put(sub, change) => {
                let mut object = read(world, senders, name).await;
                change(&mut object);
                senders.send(me, "PUT", &at(sub), PLAIN, object.to_string()).await
            }
            How::Raw(method, path, content, body) => {
                let fill = |text: String| text.replace("{ns}", &world.namespace).replace("{name}", name);
                let mut path = fill((*path).to_owned());
                if dry {
                    path += if path.contains('?') { "&dryRun=All" } else { "?dryRun=All" };
                }
                senders.send(me, method, &path, content, fill(body.to_string())).await
            }
            How::As(whom) => {
                let approve = json!({"status": {"approval": {"decision": "Approved"}}});
                senders.send((self.who, Some(*whom)), "PATCH", &at("status"), MERGE, approve.to_string()).await
            }
            How::Reborn => {
                let mut old = read(world, senders, name).await;
                senders.send(me, "DELETE", &at(""), PLAIN, String::new()).await?;
                let metadata = json!({"name": name, "namespace": world.namespace, "uid": old["metadata"]["uid"]});
                old["metadata"] = metadata;
                senders.send(me, "POST", &whole, PLAIN, old.to_string()).await
            }
        }
    }

    /// Whether this can be tried without anything being kept.
    pub fn can_be_dry(&self) -> bool {
        !matches!(self.how, How::Reborn)
    }

    /// What is wrong with an answer; `None`: it is what it must be.
    pub fn fault(&self, answer: &Result<Value, String>) -> Option<String> {
        match (&self.want, answer) {
            (Want::Refused(way_out), Err(said)) if admission::is_own_refusal(said) && said.contains(way_out) => None,
            (Want::Barred(why), Err(said)) if !admission::is_own_refusal(said) && said.contains(why) => None,
            (Want::Ignored | Want::Allowed(_), Ok(_)) => None,
            (Want::Refused(text) | Want::Barred(text), Err(said)) => Some(format!("wanted {text:?}, got {said:?}")),
            (Want::Refused(_) | Want::Barred(_), Ok(object)) => Some(format!("LET THROUGH: {}", object["status"])),
            (Want::Ignored | Want::Allowed(_), Err(said)) => Some(format!("lawful, and refused: {said}")),
        }
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let who = if self.who.is_empty() { "system:masters" } else { self.who };
        let want = match &self.want {
            Want::Refused(text) | Want::Barred(text) => format!("refused: …{text}…"),
            Want::Ignored => "without effect".to_owned(),
            Want::Allowed(_) => "allowed".to_owned(),
        };
        format!("{who} {} ({:?}) → {want}", self.tries, self.on)
    }
}

/// The request as it is.
pub async fn read(world: &World, senders: &Senders, name: &str) -> Value {
    let path = format!("/apis/sennight.dev/v1alpha1/namespaces/{}/restorerequests/{name}", world.namespace);
    senders.send(("", None), "GET", &path, PLAIN, String::new()).await.unwrap_or(Value::Null)
}

/// Whether `whole` has everything that `part` has.
pub fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| contains(whole.get(key).unwrap_or(&Value::Null), value))
        }
        (whole, part) => whole == part,
    }
}
