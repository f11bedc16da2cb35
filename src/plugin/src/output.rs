//! Input and output: the streams, and the forms that kubectl's users expect: tables, JSON, YAML, names.

use super::args::Form;
use super::error::PluginError;
use serde::Serialize;
use std::io::{BufRead, IsTerminal, Write};

/// The streams of a command. Tests replace them.
pub struct Io<'a> {
    /// Standard output: the result.
    pub out: Box<dyn Write + 'a>,
    /// Standard error: notes, questions and errors for people.
    pub err: Box<dyn Write + 'a>,
    /// Standard input: answers to questions.
    pub input: Box<dyn BufRead + 'a>,
    /// Whether a person can answer: input and standard error are terminals.
    pub interactive: bool,
}

impl Io<'static> {
    /// The process's own streams.
    pub fn standard() -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            err: Box::new(std::io::stderr()),
            input: Box::new(std::io::BufReader::new(std::io::stdin())),
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        }
    }
}

impl Io<'_> {
    /// Writes a result to standard output, with a line end.
    pub fn say(&mut self, text: &str) -> Result<(), PluginError> {
        self.out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            self.out.write_all(b"\n")?;
        }
        Ok(self.out.flush()?)
    }

    /// Writes a note to standard error. A closed stream is no failure.
    pub fn complain(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Asks and waits for a line.
    pub fn ask(&mut self, question: &str) -> Result<String, PluginError> {
        write!(self.err, "{question}")?;
        self.err.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Writes a value as JSON or YAML.
    pub fn object(&mut self, value: &impl Serialize, form: Form) -> Result<(), PluginError> {
        let text = if form == Form::Yaml {
            serde_saphyr::to_string(value).map_err(|error| PluginError::Form(error.to_string()))?
        } else {
            serde_json::to_string_pretty(value).map_err(|error| PluginError::Form(error.to_string()))?
        };
        self.say(&text)
    }
}

/// A table as kubectl prints them: columns padded, three spaces between.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        // Characters, not bytes: not all names are ASCII.
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([header[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("   ").trim_end().to_owned() + "\n"
    };
    let mut text = line(header.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "länger".to_owned()], vec!["bbbb".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X      Y\na      länger\nbbbb\n");
    }
}
