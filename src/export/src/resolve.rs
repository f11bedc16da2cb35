//! Compiles a profile's conditions and values: column names become places in a row.

use super::error::CompileError;
use sennight_core::profile::{Condition, ProfileFault, Tables};

/// A condition on a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    index: usize,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(String),
    NotEquals(String),
    StartsWith(String),
}

impl Filter {
    /// The cell is this text.
    pub(super) fn equals(index: usize, text: &str) -> Self {
        Self { index, test: Test::Equals(text.to_owned()) }
    }

    /// Whether a row passes. A cell without a value equals nothing and begins with nothing.
    pub(super) fn passes<S: AsRef<str>>(&self, cells: &[Option<S>]) -> bool {
        let cell = cells.get(self.index).and_then(Option::as_ref).map(AsRef::as_ref);
        match &self.test {
            Test::Equals(text) => cell == Some(text.as_str()),
            Test::NotEquals(text) => cell != Some(text.as_str()),
            Test::StartsWith(text) => cell.is_some_and(|cell| cell.starts_with(text)),
        }
    }
}

/// A value made of columns: one column, or a template like `{NAME} [{ID}]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(usize),
}

impl Template {
    /// The text of a row. Runs of spaces that missing values leave are closed up.
    pub(super) fn render<S: AsRef<str>>(&self, cells: &[Option<S>]) -> String {
        if let [Part::Column(index)] = self.0.as_slice() {
            return cells
                .get(*index)
                .and_then(Option::as_ref)
                .map_or_else(String::new, |cell| cell.as_ref().to_owned());
        }
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Column(index) => {
                    text.push_str(cells.get(*index).and_then(Option::as_ref).map_or("", AsRef::as_ref));
                }
            }
        }
        // A person without a last name must not become "Ann  [7]".
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What the columns of a table are compiled to.
pub(super) trait Resolve {
    /// Conditions as filters; an optional one on a column that the table lacks is dropped.
    fn filters(&self, field: &str, table: usize, conditions: &[Condition]) -> Result<Vec<Filter>, CompileError>;
    /// A column, or a template with columns in braces.
    fn template(&self, field: &str, table: usize, text: &str) -> Result<Template, CompileError>;
}

impl Resolve for Tables<'_> {
    fn filters(&self, field: &str, table: usize, conditions: &[Condition]) -> Result<Vec<Filter>, CompileError> {
        let mut filters = Vec::with_capacity(conditions.len());
        for (at, condition) in conditions.iter().enumerate() {
            let field = format!("{field}.where[{at}]");
            let test = match (&condition.equals, &condition.not_equals, &condition.starts_with) {
                (Some(text), None, None) => Test::Equals(text.clone()),
                (None, Some(text), None) => Test::NotEquals(text.clone()),
                (None, None, Some(text)) => Test::StartsWith(text.clone()),
                _ => {
                    return Err(invalid(field, "give exactly one of equals, notEquals and startsWith"));
                }
            };
            match self.find_column(&field, table, &condition.column)? {
                Some(index) => filters.push(Filter { index, test }),
                None if condition.optional => {}
                None => {
                    self.need_column(&field, table, &condition.column)?;
                }
            }
        }
        Ok(filters)
    }

    fn template(&self, field: &str, table: usize, text: &str) -> Result<Template, CompileError> {
        if !text.contains(['{', '}']) {
            return Ok(Template(vec![Part::Column(self.need_column(field, table, text)?)]));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((fixed, after)) = rest.split_once('{') {
            let (column, after) = after.split_once('}').ok_or_else(|| invalid(field, "a { has no }"))?;
            if !fixed.is_empty() {
                parts.push(Part::Text(fixed.to_owned()));
            }
            parts.push(Part::Column(self.need_column(field, table, column)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }
}

/// A field whose value makes no sense.
pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> CompileError {
    ProfileFault::invalid(field, problem).into()
}
