//! How the admission policies are weakened: the reason of the condition AuthorityIntact, from the place of a difference.

/// A way in which the policies are weakened. The variant's name is the reason of AuthorityIntact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumIter)]
pub enum Weakness {
    /// A policy does not exist.
    PolicyMissing,
    /// A policy exists and has no binding.
    BindingMissing,
    /// The binding warns or records, and lets the write through.
    BindingDoesNotDeny,
    /// A write that cannot be evaluated is let through.
    PolicyFailsOpen,
    /// Some writes are not checked: another selector, condition, parameter or target.
    PolicyMatchesLess,
    /// An expression is not the shipped one.
    RuleChanged,
    /// The CustomResourceDefinition does not have the rules that it is shipped with.
    SchemaChanged,
}

impl Weakness {
    /// Reason of the condition AuthorityIntact, in CamelCase.
    pub fn reason(self) -> &'static str {
        self.into()
    }

    /// What it means, as part of a sentence for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PolicyMissing => "it is missing, so nothing divides approval from payment",
            Self::BindingMissing => "it is missing, so the policy binds nobody",
            Self::BindingDoesNotDeny => "it does not deny: what the policy refuses would be let through",
            Self::PolicyFailsOpen => "it fails open: what cannot be evaluated would be let through",
            Self::PolicyMatchesLess => "it does not look at every write that it must look at",
            Self::RuleChanged => "its rules are not the ones that this version ships",
            Self::SchemaChanged => "its schema does not have the rules that this version ships",
        }
    }

    /// The weakness of an object that differs at this path, as [`super::Guard::difference`] gives it.
    pub fn of(difference: &str) -> Self {
        let field = difference.trim_start_matches("spec/").split('/').next().unwrap_or_default();
        match field {
            "validationActions" => Self::BindingDoesNotDeny,
            "failurePolicy" => Self::PolicyFailsOpen,
            // A binding that names another policy leaves ours without one.
            "matchConstraints" | "matchConditions" | "matchResources" | "paramKind" | "paramRef" | "policyName" => {
                Self::PolicyMatchesLess
            }
            _ => Self::RuleChanged,
        }
    }

    /// The weakness of a missing object of this kind.
    pub fn missing(kind: &str) -> Self {
        if kind.ends_with("Binding") { Self::BindingMissing } else { Self::PolicyMissing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_each_place_has_its_word() {
        for (place, word) in [
            ("spec/validationActions/0", "BindingDoesNotDeny"),
            ("spec/failurePolicy", "PolicyFailsOpen"),
            ("spec/matchConditions", "PolicyMatchesLess"),
            ("spec/matchConstraints/resourceRules/0/operations", "PolicyMatchesLess"),
            ("spec/matchResources", "PolicyMatchesLess"),
            ("spec/paramRef", "PolicyMatchesLess"),
            ("spec/validations/3/expression", "RuleChanged"),
            ("spec/variables/6/expression", "RuleChanged"),
            ("spec", "RuleChanged"),
        ] {
            assert_eq!(Weakness::of(place).reason(), word, "{place}");
        }
        assert_eq!(Weakness::missing("ValidatingAdmissionPolicy"), Weakness::PolicyMissing);
        assert_eq!(Weakness::missing("ValidatingAdmissionPolicyBinding"), Weakness::BindingMissing);
    }
}
