//! The zip's README.txt for people: what is in it, how to import it, what is not in it, what was changed. In English, Vietnamese
//! and Russian; the profile chooses which one is README.txt.

use super::plan::ExportPlan;
use super::summary::{Comparison, EXPORT_MANIFEST, ExportContext, MISSING_ONLY, ManifestFacts};
use chrono::SecondsFormat;
use sennight_core::profile::AMBIGUOUS_LINKS;

mod en;
mod ru;
mod vi;

/// The texts of one language. `{…}` is filled in.
struct Texts {
    code: &'static str,
    title: &'static str,
    as_of: &'static str,
    request: &'static str,
    files: &'static str,
    file: &'static str,
    missing: &'static str,
    no_missing: &'static str,
    import_missing: &'static str,
    import_full: &'static str,
    how_to: &'static str,
    links: &'static str,
    links_cut: &'static str,
    not_in: &'static str,
    worth_knowing: &'static str,
    guarded: &'static str,
    unreadable: &'static str,
    oversized: &'static str,
    ambiguous: &'static str,
    not_utf8: &'static str,
    skipped: &'static str,
}

const LANGUAGES: [&Texts; 3] = [&en::TEXTS, &vi::TEXTS, &ru::TEXTS];

/// The READMEs by name; the profile's language first, which is English where it is none of ours.
pub(super) fn all(plan: &ExportPlan, context: &ExportContext, facts: &ManifestFacts) -> Vec<(String, String)> {
    // A region does not matter: `vi-VN` is `vi`.
    let wanted = plan.language.split('-').next().unwrap_or_default();
    let first = LANGUAGES.iter().position(|texts| texts.code == wanted).unwrap_or(0);
    let others = (0..LANGUAGES.len()).filter(|at| *at != first);
    let named = std::iter::once((first, "README.txt".to_owned()))
        .chain(others.map(|at| (at, format!("README.{}.txt", LANGUAGES[at].code))));
    named.map(|(at, name)| (name, LANGUAGES[at].write(plan, context, facts))).collect()
}

fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

impl Texts {
    fn write(&self, plan: &ExportPlan, context: &ExportContext, facts: &ManifestFacts) -> String {
        let local = context.snapshot_time.with_timezone(&plan.zone).format("%Y-%m-%d %H:%M:%S").to_string();
        let utc = context.snapshot_time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut text = fill(self.title, &[("tenant", &context.identity.tenant)]);
        text += "\n\n";
        text += &fill(self.as_of, &[("local", &local), ("zone", &context.time_zone), ("utc", &utc)]);
        let point = context.backup.to_string();
        text += &fill(self.request, &[("request", &context.request), ("point", &point)]);
        text += self.files;
        self.list(&mut text, facts, false);
        match &context.missing_only {
            Comparison::Compared { at } => {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                text += &fill(self.missing, &[("folder", MISSING_ONLY), ("at", &at)]);
                self.list(&mut text, facts, true);
                text += &fill(self.import_missing, &[("folder", MISSING_ONLY)]);
            }
            Comparison::Unreachable { why } => {
                text += &fill(self.no_missing, &[("why", why)]);
                text += self.import_full;
            }
            Comparison::NotAsked => text += self.import_full,
        }
        text += self.how_to;
        let links = facts.ambiguous_links;
        if links.listed > 0 {
            text += &fill(self.links, &[("file", AMBIGUOUS_LINKS), ("count", &links.listed.to_string())]);
        }
        if links.not_listed > 0 {
            text += &fill(self.links_cut, &[("count", &links.not_listed.to_string())]);
        }
        text += self.not_in;
        self.warnings(&mut text, plan, facts);
        text
    }

    fn list(&self, text: &mut String, facts: &ManifestFacts, missing: bool) {
        let files = facts.files.iter().filter(|file| file.name.starts_with(MISSING_ONLY) == missing);
        for (at, file) in files.enumerate() {
            let (at, records) = ((at + 1).to_string(), file.records.to_string());
            *text += &fill(self.file, &[("at", &at), ("name", &file.name), ("records", &records)]);
        }
    }

    fn warnings(&self, text: &mut String, plan: &ExportPlan, facts: &ManifestFacts) {
        // Of the full set only: the cells of the other one are among them.
        let full = || facts.files.iter().filter(|file| !file.name.starts_with(MISSING_ONLY));
        let mut lines = Vec::new();
        for (said, cells) in [
            (self.guarded, full().map(|file| file.guarded_cells).sum::<i64>()),
            (self.unreadable, full().map(|file| file.unreadable_cells).sum()),
            (self.oversized, full().map(|file| file.oversized_cells).sum()),
            (self.ambiguous, full().map(|file| file.ambiguous_cells).sum()),
            (self.not_utf8, facts.not_utf8.iter().map(|table| table.cells).sum()),
        ] {
            if cells > 0 {
                lines.push(fill(said, &[("count", &cells.to_string()), ("manifest", EXPORT_MANIFEST)]));
            }
        }
        for skipped in &plan.skipped {
            lines.push(fill(self.skipped, &[("entity", &skipped.entity), ("name", &skipped.name)]));
        }
        if !lines.is_empty() {
            *text += self.worth_knowing;
            *text += &lines.concat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_fills_in_the_same_places() {
        let places = |text: &str| {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            names.sort();
            names
        };
        let all = |t: &Texts| {
            [
                t.title,
                t.as_of,
                t.request,
                t.files,
                t.file,
                t.missing,
                t.no_missing,
                t.import_missing,
                t.import_full,
                t.how_to,
                t.links,
                t.links_cut,
                t.not_in,
                t.worth_knowing,
                t.guarded,
                t.unreadable,
                t.oversized,
                t.ambiguous,
                t.not_utf8,
                t.skipped,
            ]
        };
        for other in &LANGUAGES[1..] {
            for (english, other) in all(LANGUAGES[0]).into_iter().zip(all(other)) {
                assert_eq!(places(english), places(other), "{other}");
                assert_eq!(english.ends_with('\n'), other.ends_with('\n'), "{other}");
            }
        }
    }
}
