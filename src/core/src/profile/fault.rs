//! Why a profile is wrong in itself.

use super::PRESETS;

/// A profile that no tenant could be exported with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
pub enum ProfileFault {
    /// Something that no export may contain.
    #[error("{field} names {name:?}, which {pattern:?} excludes: activities, comments and history are never exported")]
    ExcludedTable {
        /// Field of the profile.
        field: String,
        /// The table or column.
        name: String,
        /// The pattern that excludes it.
        pattern: String,
    },
    /// A lookup that the profile lacks.
    #[error("{field} names lookup {lookup:?}, which spec.lookups does not have: add it")]
    LookupMissing {
        /// Field of the profile.
        field: String,
        /// The lookup.
        lookup: String,
    },
    /// A preset that does not exist.
    #[error("format.preset: {preset:?} is no preset: use {}, {} or {}", PRESETS[0], PRESETS[1], PRESETS[2])]
    UnknownPreset {
        /// What the profile says.
        preset: String,
    },
    /// A field whose value makes no sense.
    #[error("{field}: {problem}")]
    FieldInvalid {
        /// Field of the profile.
        field: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
}

impl ProfileFault {
    /// Reason of the condition Ready, in CamelCase.
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// A field whose value makes no sense.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::FieldInvalid { field: field.into(), problem: problem.into() }
    }
}
