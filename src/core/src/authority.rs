//! Who may write what into a request's status: the rules of the admission policies as functions over two versions of an
//! object. tests/unit/authority.rs holds both to the same answer. The operator trusts no approval or payment that these
//! rules would have refused.

use serde_json::{Map, Value};
use std::sync::LazyLock;

/// `gate.fourEyes`: when the person who created a request may not approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display, strum::EnumString)]
pub enum FourEyes {
    /// May approve every request.
    #[default]
    None,
    /// May not approve where a database is replaced: FullRestore and Undo.
    FullRestore,
    /// May approve none.
    All,
}

/// Who writes, and which verbs on restorerequests they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor<'a> {
    /// User name, as the API server knows it.
    pub name: &'a str,
    /// Has the verb `approve`.
    pub approve: bool,
    /// Has the verb `settle`.
    pub settle: bool,
    /// Has the verb `operate`.
    pub operate: bool,
}

/// A write to the status: the object before and after, and who did it.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The object as it was.
    pub before: &'a Value,
    /// The object as it would be.
    pub after: &'a Value,
    /// Who writes.
    pub actor: Actor<'a>,
    /// Setting `gate.fourEyes`.
    pub four_eyes: FourEyes,
}

/// Why a write is refused. The texts are those of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::EnumIter)]
pub enum Breach {
    /// They may not approve, or the approval bears another name.
    #[error(
        "status.approval is the helpdesk's: it takes the verb approve on restorerequests.sennight.dev (ClusterRole sennight-helpdesk), and status.approval.by must be your own user name: leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself"
    )]
    NotHelpdesk,
    /// They may not settle, or the payment bears another name.
    #[error(
        "status.payment and the condition Paid are billing's: they take the verb settle on restorerequests.sennight.dev (ClusterRole sennight-billing), and status.payment.by must be your own user name (for a refund payment.refund.by): leave it out where a MutatingAdmissionPolicy stamps it, else write it yourself"
    )]
    NotBilling,
    /// They may not write the operator's part.
    #[error(
        "this part of status is the operator's; the helpdesk writes status.approval, billing status.payment and the condition Paid. A merge patch replaces all conditions: use kubectl apply --server-side --subresource=status"
    )]
    NotOperator,
    /// One account would both approve and settle.
    #[error("whoever approved may not record the payment, nor the other way round: another account must")]
    OneHand,
    /// Approval and payment no longer change.
    #[error(
        "too late: the restore has been claimed or has ended, or this request is being deleted (create another one): its approval no longer changes, and only payment.refund may still be recorded"
    )]
    TooLate,
    /// The creator would approve their own request.
    #[error("whoever created a request may not approve it (gate.fourEyes: {0}): another person must")]
    FourEyes(FourEyes),
}

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

fn fields(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or(&EMPTY)
}

fn conditions(status: &Value, paid: bool) -> Vec<&Value> {
    let all = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|c| (c["type"] == "Paid") == paid).collect()
}

impl Write<'_> {
    fn old_status(&self) -> &Value {
        &self.before["status"]
    }

    fn new_status(&self) -> &Value {
        &self.after["status"]
    }

    fn approval_changed(&self) -> bool {
        self.old_status().get("approval") != self.new_status().get("approval")
    }

    /// Whether anything of billing's changes, the refund included.
    fn settlement_changed(&self) -> bool {
        self.old_status().get("payment") != self.new_status().get("payment")
            || conditions(self.old_status(), true) != conditions(self.new_status(), true)
    }

    /// Whether a new refund bears the name of who records it.
    fn refund_is_named(&self) -> bool {
        let (old, new) = (self.old_status()["payment"].get("refund"), self.new_status()["payment"].get("refund"));
        // A refund that stays as it was may bear anybody's name.
        new.is_none_or(|new| new["by"] == self.actor.name || old == Some(new))
    }

    /// Whether anything of billing's but the refund changes: recording a refund is not recording a payment.
    fn payment_changed(&self) -> bool {
        let (old, new) = (fields(&self.old_status()["payment"]), fields(&self.new_status()["payment"]));
        let differs = |key: &&String| *key != "refund" && old.get(*key) != new.get(*key);
        conditions(self.old_status(), true) != conditions(self.new_status(), true)
            || old.keys().any(|key| differs(&key))
            || new.keys().any(|key| differs(&key))
    }

    /// Whether any other part changes. New fields are the operator's until they are named here.
    fn operator_part_changed(&self) -> bool {
        let (old, new) = (fields(self.old_status()), fields(self.new_status()));
        let differs = |key: &&String| {
            !matches!(key.as_str(), "approval" | "payment" | "conditions") && old.get(*key) != new.get(*key)
        };
        conditions(self.old_status(), false) != conditions(self.new_status(), false)
            || old.keys().any(|key| differs(&key))
            || new.keys().any(|key| differs(&key))
    }

    fn is_closed(&self) -> bool {
        self.old_status().get("finishedAt").is_some() || self.old_status().get("claim").is_some()
    }

    fn changes_signature(&self) -> bool {
        self.approval_changed() || self.payment_changed()
    }
}

type Rule = fn(&Write<'_>) -> Option<Breach>;

/// In the order of the policies' validations, the four-eyes policy last.
const RULES: &[Rule] =
    &[helpdesk_decides, billing_settles, operator_operates, approver_is_not_payer, not_too_late, four_eyes];

fn helpdesk_decides(w: &Write<'_>) -> Option<Breach> {
    let theirs = w.actor.approve && w.new_status()["approval"]["by"] == w.actor.name;
    (w.approval_changed() && !theirs).then_some(Breach::NotHelpdesk)
}

fn billing_settles(w: &Write<'_>) -> Option<Breach> {
    // A refund leaves the payment's name alone: another person of billing's may record it.
    let signed = w.new_status()["payment"]["by"] == w.actor.name || !w.payment_changed();
    let theirs = w.actor.settle && signed && w.refund_is_named();
    (w.settlement_changed() && !theirs).then_some(Breach::NotBilling)
}

fn operator_operates(w: &Write<'_>) -> Option<Breach> {
    (w.operator_part_changed() && !w.actor.operate).then_some(Breach::NotOperator)
}

fn approver_is_not_payer(w: &Write<'_>) -> Option<Breach> {
    let (approver, payer) = (w.new_status()["approval"].get("by"), w.new_status()["payment"].get("by"));
    // Only if one of the two changes: else the operator could not write to an object that bears one name twice.
    (w.changes_signature() && approver.is_some() && approver == payer).then_some(Breach::OneHand)
}

fn not_too_late(w: &Write<'_>) -> Option<Breach> {
    let deleting = w.after["metadata"].get("deletionTimestamp").is_some();
    (w.changes_signature() && (w.is_closed() || deleting)).then_some(Breach::TooLate)
}

fn four_eyes(w: &Write<'_>) -> Option<Breach> {
    let applies = match w.four_eyes {
        FourEyes::None => false,
        FourEyes::FullRestore => w.after["spec"]["mode"] != "CrmExport",
        FourEyes::All => true,
    };
    let approves = w.approval_changed() && w.new_status()["approval"]["decision"] == "Approved";
    let creator = w.after["spec"].get("requestedBy");
    // An unknown creator might be the approver.
    let same = creator.is_none_or(|creator| creator == w.actor.name);
    (applies && approves && same).then_some(Breach::FourEyes(w.four_eyes))
}

/// Every rule that the write breaks, in the order in which the policies have them.
pub fn breaches(write: &Write<'_>) -> Vec<Breach> {
    RULES.iter().filter_map(|rule| rule(write)).collect()
}

/// Why the signatures on an object are not trusted. The variant's name is the reason of Progressing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum Distrust {
    /// They were not checked: what is not known is not trusted.
    #[error("the signatures have not been looked at")]
    SignaturesUnknown,
    /// The admission policies would have refused such a write.
    #[error(
        "{what} is signed by {by:?}, and no such write gets past the admission policies: {breach}. It was written while they were not in force: deny this request and create another one"
    )]
    ForgedSignature {
        /// `status.approval` or `status.payment`.
        what: &'static str,
        /// User name that it bears.
        by: String,
        /// The rule that it breaks.
        breach: Breach,
    },
    /// It bears the operator's own name, and the operator neither approves nor settles.
    #[error(
        "{what} bears the operator's own name, which signs nothing: it is a forgery; deny this request and create another one"
    )]
    SignedByOperator {
        /// `status.approval` or `status.payment`.
        what: &'static str,
    },
    /// An approval replaced a denial, which is final.
    #[error(
        "this request was denied, as condition Approved says, and status.approval says Approved now: a denial is final; create another one"
    )]
    DenialReversed,
    /// It was written past the status subresource.
    #[error(
        "{what} was not written by the subresource status, so the admission policies never saw it: create another request"
    )]
    BesideTheSubresource {
        /// `status.approval` or `status.payment`.
        what: &'static str,
    },
}

impl Distrust {
    /// Reason of the condition Progressing, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// How the API server knows the operator itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperatorIdentity<'a> {
    /// User name; `None` until the API server was asked.
    pub user: Option<&'a str>,
    /// Field managers of the operator's writes.
    pub managers: &'a [&'a str],
}

/// Whether approval and payment of an object could have been written under the rules: each is removed and written again by
/// the user that it names. [`Breach::TooLate`] is not asked: it depends on when the write came.
///
/// This is a second check, not the protection itself: whoever may write anything can write something that looks right. It
/// finds clumsy forgeries, and what was written while the policies were not in force.
pub fn check_signatures(object: &Value, setting: FourEyes, own: OperatorIdentity<'_>) -> Result<(), Distrust> {
    for (what, field) in [("status.approval", "approval"), ("status.payment", "payment")] {
        // Without a name it is no signature: the gate waits for a stamped one.
        let Some(by) = object["status"][field].get("by").and_then(Value::as_str) else { continue };
        // Until its own name is known, any name might be the operator's.
        // guard(i6_while_its_own_name_is_unknown_the_operator_trusts_no_signature, = Some("")): the operator trusts no signature while its own name is unknown
        let Some(user) = own.user else { return Err(Distrust::SignaturesUnknown) };
        if user == by {
            return Err(Distrust::SignedByOperator { what });
        }
        let before = before_signature(object, field);
        let actor = Actor { name: by, approve: field == "approval", settle: field == "payment", operate: false };
        let write = Write { before: &before, after: object, actor, four_eyes: setting };
        if let Some(breach) = breaches(&write).into_iter().find(|breach| *breach != Breach::TooLate) {
            return Err(Distrust::ForgedSignature { what, by: by.to_owned(), breach });
        }
        check_managed_fields(object, field, what, own)?;
    }
    // The condition is the operator's part of status: whoever can forge an approval need not be able to change it.
    let mirror = conditions(&object["status"], false).into_iter().find(|c| c["type"] == "Approved");
    let denied = mirror.is_some_and(|c| c["status"] == "False" && c["reason"] == "Denied");
    let approved = object["status"]["approval"]["decision"] == "Approved";
    if denied && approved { Err(Distrust::DenialReversed) } else { Ok(()) }
}

/// The object as it was before this approval or payment was written.
fn before_signature(object: &Value, field: &str) -> Value {
    let mut before = object.clone();
    if let Some(status) = before.get_mut("status").and_then(Value::as_object_mut) {
        let signed = status.remove(field);
        // A refund bears its own name and is written later.
        if field == "payment"
            && let Some(refund) = signed.and_then(|payment| payment.get("refund").cloned())
        {
            status.insert(field.to_owned(), serde_json::json!({"refund": refund}));
        }
        if field == "payment"
            && let Some(all) = status.get_mut("conditions").and_then(Value::as_array_mut)
        {
            all.retain(|c| c["type"] != "Paid");
        }
    }
    before
}

/// What managedFields say against an approval or payment. They prove nothing for it: a client chooses its manager's name.
fn check_managed_fields(
    object: &Value,
    field: &str,
    what: &'static str,
    own: OperatorIdentity<'_>,
) -> Result<(), Distrust> {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key = format!("f:{field}");
    for entry in entries.iter().filter(|e| e["fieldsV1"]["f:status"].get(&key).is_some()) {
        if entry["subresource"] != "status" {
            return Err(Distrust::BesideTheSubresource { what });
        }
        // guard(i6_no_field_manager_of_the_operator_signs, never): a signature by a field manager of the operator is refused
        if own.managers.iter().any(|own| entry["manager"] == *own) {
            return Err(Distrust::SignedByOperator { what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
