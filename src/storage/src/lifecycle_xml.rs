//! Parses and writes lifecycle configurations as XML text. Foreign rules are copied byte for byte, so that extension elements
//! of a store survive.

use chrono::{DateTime, SecondsFormat, Utc};
use roxmltree::{Document, Node};
use sennight_core::retention::{Existing, Expire, Rule};
use std::fmt::Write as _;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A configuration taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parsed {
    /// The root's opening tag, with the namespaces that the rules' bytes rest on; empty for none.
    open: String,
    /// Elements beside the rules, as they came.
    beside: Vec<String>,
    /// The rules.
    pub rules: Vec<Existing>,
}

impl Parsed {
    /// Takes a configuration apart.
    pub fn read(text: &str) -> Result<Self, roxmltree::Error> {
        let document = Document::parse(text)?;
        let root = document.root_element();
        let mut parsed = Self::default();
        if let Some(first) = root.first_child() {
            text[root.range().start..first.range().start].clone_into(&mut parsed.open);
        }
        for child in root.children().filter(Node::is_element) {
            let source = text[child.range()].to_owned();
            if child.tag_name().name() == "Rule" {
                parsed.rules.push(Existing { rule: rule(child), source });
            } else {
                parsed.beside.push(source);
            }
        }
        Ok(parsed)
    }

    /// The configuration with these rules instead: foreign ones as bytes, our own written here.
    pub fn with_rules(&self, foreign: &[String], own: &[Rule]) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        if self.open.is_empty() {
            let _ = write!(text, "<LifecycleConfiguration xmlns=\"{NAMESPACE}\">");
        } else {
            text.push_str(&self.open);
        }
        self.beside.iter().chain(foreign).for_each(|source| text.push_str(source));
        for rule in own {
            write_rule(&mut text, rule);
        }
        let name = self.open.trim_start_matches('<').split([' ', '>', '\t', '\n', '\r']).next();
        let name = name.filter(|name| !name.is_empty()).unwrap_or("LifecycleConfiguration");
        let _ = write!(text, "</{name}>");
        text
    }
}

/// The same rule always gives the same text, whatever order and white space the store writes it with.
pub(super) fn canonical(source: &str) -> String {
    fn walk(node: Node<'_, '_>, out: &mut String) {
        let mut children: Vec<String> = Vec::new();
        for child in node.children().filter(Node::is_element) {
            let mut text = String::new();
            walk(child, &mut text);
            children.push(text);
        }
        children.sort();
        let value = if children.is_empty() { node.text().unwrap_or_default().trim() } else { "" };
        let _ = write!(out, "<{}>{value}{}", node.tag_name().name(), children.concat());
    }
    // A cut-out rule may use prefixes that the root declared: without a root it is compared as it is.
    Document::parse(source).map_or_else(
        |_| source.split_whitespace().collect(),
        |document| {
            let mut out = String::new();
            walk(document.root_element(), &mut out);
            out
        },
    )
}

fn rule(node: Node<'_, '_>) -> Rule {
    let mut rule = Rule::default();
    for child in node.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "ID" => rule.id = text(child),
            "Status" => rule.enabled = text(child) == "Enabled",
            // The older form without a filter, which stores still return for rules that were written so.
            "Prefix" => rule.prefix = text(child),
            "Filter" => filter(child, &mut rule),
            "Expiration" => expiration(child, &mut rule),
            "NoncurrentVersionExpiration" => noncurrent(child, &mut rule),
            "AbortIncompleteMultipartUpload" => rule.abort_days = number(child, "DaysAfterInitiation"),
            "Transition" => {
                let days = number(child, "Days").unwrap_or(0);
                // Of several transitions the earliest counts: it would move backups first.
                rule.transition_days = Some(rule.transition_days.map_or(days, |known| known.min(days)));
            }
            other => note(&mut rule, child, other),
        }
    }
    // The order of elements means nothing, and must not look like a change of the rule.
    rule.other.sort();
    rule
}

fn filter(node: Node<'_, '_>, rule: &mut Rule) {
    for child in node.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "Prefix" => rule.prefix = text(child),
            "Tag" => {
                rule.tags.insert(field(child, "Key"), field(child, "Value"));
            }
            "And" => filter(child, rule),
            other => note(rule, child, other),
        }
    }
}

fn expiration(node: Node<'_, '_>, rule: &mut Rule) {
    for child in node.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "Days" => rule.expire = text(child).parse().ok().map(Expire::Days),
            "Date" => rule.expire = date(&text(child)).map(Expire::Date),
            "ExpiredObjectDeleteMarker" => rule.expired_markers = text(child) == "true",
            other => note(rule, child, other),
        }
    }
}

fn noncurrent(node: Node<'_, '_>, rule: &mut Rule) {
    for child in node.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "NoncurrentDays" => rule.noncurrent_days = text(child).parse().ok(),
            other => note(rule, child, other),
        }
    }
}

/// Remembers an element that no field stands for; one that says `false`, `0` or nothing says nothing.
fn note(rule: &mut Rule, node: Node<'_, '_>, name: &str) {
    let silent = !node.children().any(|c| c.is_element()) && matches!(text(node).as_str(), "" | "false" | "0");
    if !silent {
        rule.other.push(name.to_owned());
    }
}

fn text(node: Node<'_, '_>) -> String {
    node.text().unwrap_or_default().trim().to_owned()
}

fn field(node: Node<'_, '_>, name: &str) -> String {
    node.children().find(|child| child.tag_name().name() == name).map(text).unwrap_or_default()
}

fn number(node: Node<'_, '_>, name: &str) -> Option<i32> {
    field(node, name).parse().ok()
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|date| date.to_utc())
}

fn write_rule(out: &mut String, rule: &Rule) {
    let _ = write!(out, "<Rule><ID>{}</ID><Filter>", escape(&rule.id));
    let prefix = format!("<Prefix>{}</Prefix>", escape(&rule.prefix));
    if rule.tags.is_empty() {
        out.push_str(&prefix);
    } else {
        // S3 wants `And` as soon as a filter has a tag beside the prefix.
        let _ = write!(out, "<And>{prefix}");
        for (key, value) in &rule.tags {
            let _ = write!(out, "<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key), escape(value));
        }
        out.push_str("</And>");
    }
    let _ = write!(out, "</Filter><Status>{}</Status>", if rule.enabled { "Enabled" } else { "Disabled" });
    write_actions(out, rule);
    out.push_str("</Rule>");
}

fn write_actions(out: &mut String, rule: &Rule) {
    let expire = match rule.expire {
        Some(Expire::Days(days)) => format!("<Days>{days}</Days>"),
        Some(Expire::Date(date)) => {
            format!("<Date>{}</Date>", date.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        // S3 refuses markers beside days or a date in one rule.
        None if rule.expired_markers => "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>".to_owned(),
        None => String::new(),
    };
    if !expire.is_empty() {
        let _ = write!(out, "<Expiration>{expire}</Expiration>");
    }
    if let Some(days) = rule.noncurrent_days {
        let _ = write!(
            out,
            "<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>"
        );
    }
    if let Some(days) = rule.abort_days {
        let _ = write!(
            out,
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
        );
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A parser turns a bare CR into LF: the rule would select other keys than it was meant for.
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::capabilities::Capabilities;
    use sennight_core::retention::{LifecyclePlan, Policy, merge};
    use std::collections::BTreeSet;

    const FOREIGN: &str = "<Rule>\n <ID>theirs</ID><Filter><And><Prefix>a&amp;b/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Status>Enabled</Status>\n<x:Odd xmlns:x='u'>1</x:Odd><Expiration><Days>3</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration></Rule>";

    fn policy() -> Policy {
        let capabilities = Capabilities { versioning: true, ..Capabilities::default() };
        Policy { bucket: "b".into(), prefix: "p&<q>".into(), days: 7, capabilities }
    }

    #[test]
    fn our_rules_read_back_as_they_were_written() {
        let text = Parsed::default().with_rules(&[], &policy().rules());
        let parsed = Parsed::read(&text).unwrap();
        let rules: Vec<Rule> = parsed.rules.iter().map(|e| e.rule.clone()).collect();
        assert_eq!(rules, policy().rules());
        assert_eq!(merge(&policy(), &parsed.rules, &BTreeSet::new()).plan, LifecyclePlan::Unchanged);
    }

    #[test]
    fn i5_a_foreign_rule_keeps_every_byte_and_the_roots_namespaces() {
        let before = format!("<?xml version=\"1.0\"?><y:L xmlns:y=\"z\" xmlns=\"{NAMESPACE}\">{FOREIGN}<More/></y:L>");
        let parsed = Parsed::read(&before).unwrap();
        assert_eq!(parsed.rules[0].source, FOREIGN);
        assert_eq!(parsed.rules[0].rule.prefix, "a&b/");
        assert_eq!(parsed.rules[0].rule.other, ["ExpiredObjectAllVersions", "Odd"]);
        let after = parsed.with_rules(&[parsed.rules[0].source.clone()], &policy().rules());
        assert!(after.contains(FOREIGN) && after.contains("<More/>") && after.contains("xmlns:y=\"z\""), "{after}");
        assert_eq!(Parsed::read(&after).unwrap().rules[0], parsed.rules[0]);
    }

    #[test]
    fn an_empty_configuration_and_the_old_prefix_form_are_understood() {
        assert_eq!(Parsed::read("<LifecycleConfiguration/>").unwrap(), Parsed::default());
        let old = "<L><Rule><Prefix>a</Prefix><Status>Disabled</Status><Transition><Days>9</Days></Transition><Transition><Days>3</Days></Transition></Rule></L>";
        let rule = Parsed::read(old).unwrap().rules[0].rule.clone();
        assert_eq!((rule.prefix.as_str(), rule.enabled, rule.transition_days), ("a", false, Some(3)));
        assert!(Parsed::read("<L><Rule>").is_err());
    }

    #[test]
    fn order_and_white_space_do_not_make_a_rule_another() {
        let (one, two) = ("<Rule><ID>a</ID><S>1</S></Rule>", "<Rule>\n <S> 1</S> <ID>a</ID>\n</Rule>");
        assert_eq!(canonical(one), canonical(two));
        assert_ne!(canonical(one), canonical("<Rule><ID>a</ID><S>2</S></Rule>"));
    }
}
