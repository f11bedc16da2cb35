//! A small CRM importer, written from the rules by which Bitrix24's reads files and from nothing of Sennight's: how a file
//! is cut into cells, how headers find fields, what becomes of several values, links, products, yes and no. What it takes
//! in is a [`Portal`].

use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What is imported, in this order.
pub const KINDS: [&str; 4] = ["companies", "contacts", "leads", "deals"];

/// One element of a portal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Plain fields.
    pub fields: BTreeMap<String, String>,
    /// Values of fields that may have several.
    pub several: BTreeMap<String, Vec<String>>,
    /// Names of the elements that it is linked to, by field.
    pub links: BTreeMap<String, String>,
    /// Their places among the elements of their kind when they were looked for: the first of that name.
    pub found: BTreeMap<String, usize>,
    /// Products: name, price, quantity.
    pub products: Vec<[String; 3]>,
}

/// A CRM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portal {
    /// Elements by kind, oldest first.
    pub elements: BTreeMap<String, Vec<Element>>,
    /// Lines that were not taken, with the reason.
    pub rejected: Vec<(String, &'static str)>,
}

/// Fields that are taken as they are. Everything else in a file stays unmapped, unless it is told of below.
fn plain(kind: &str) -> &'static [&'static str] {
    match kind {
        "companies" => &[
            "TITLE",
            "COMPANY_TYPE",
            "INDUSTRY",
            "EMPLOYEES",
            "REVENUE",
            "CURRENCY_ID",
            "COMMENTS",
            "ADDRESS",
            "REG_ADDRESS",
            "BANKING_DETAILS",
        ],
        "contacts" => &[
            "HONORIFIC",
            "NAME",
            "LAST_NAME",
            "SECOND_NAME",
            "BIRTHDATE",
            "POST",
            "COMMENTS",
            "TYPE_ID",
            "SOURCE_ID",
            "SOURCE_DESCRIPTION",
            "ADDRESS",
        ],
        "leads" => &[
            "TITLE",
            "NAME",
            "LAST_NAME",
            "SECOND_NAME",
            "COMPANY_TITLE",
            "POST",
            "ADDRESS",
            "COMMENTS",
            "STATUS_ID",
            "STATUS_DESCRIPTION",
            "OPPORTUNITY",
            "CURRENCY_ID",
            "SOURCE_ID",
            "SOURCE_DESCRIPTION",
        ],
        "deals" => &[
            "TITLE",
            "PROBABILITY",
            "OPPORTUNITY",
            "CURRENCY_ID",
            "SOURCE_ID",
            "SOURCE_DESCRIPTION",
            "CATEGORY_ID",
            "STAGE_ID",
            "TYPE_ID",
            "COMMENTS",
            "BEGINDATE",
            "CLOSEDATE",
        ],
        other => panic!("{other} is not imported"),
    }
}

/// Yes-or-no fields.
const BOOLEANS: [&str; 4] = ["OPENED", "EXPORT", "CLOSED", "IS_MY_COMPANY"];

/// Localized titles that stand for fields: used only where a header is no field's id.
const TITLES: [(&str, &str); 4] =
    [("company name", "TITLE"), ("last name", "LAST_NAME"), ("deal name", "TITLE"), ("work phone", "PHONE_WORK")];

/// What a header stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Id,
    Plain(String),
    Boolean(String),
    Responsible,
    Multi(String),
    Custom(String),
    CompanyTitle,
    CompanyOfDeal,
    ContactOfDeal,
    Product(usize),
    Unknown,
}

fn field(kind: &str, header: &str) -> Field {
    let upper = header.trim().to_uppercase();
    let by_title = || TITLES.iter().find(|(title, _)| *title == header.trim().to_lowercase()).map(|(_, id)| *id);
    let id = upper.as_str();
    match (kind, id) {
        (_, "ID") => Field::Id,
        (_, "ASSIGNED_BY_ID") => Field::Responsible,
        ("contacts", "COMPANY_TITLE") => Field::CompanyTitle,
        ("deals", "COMPANY_ID") => Field::CompanyOfDeal,
        ("deals", "CONTACT_ID") => Field::ContactOfDeal,
        ("deals" | "leads", "PRODUCT_ID") => Field::Product(0),
        ("deals" | "leads", "PRODUCT_PRICE") => Field::Product(1),
        ("deals" | "leads", "PRODUCT_QUANTITY") => Field::Product(2),
        _ if plain(kind).contains(&id) => Field::Plain(upper),
        _ if BOOLEANS.contains(&id) => Field::Boolean(upper),
        _ if ["PHONE_", "EMAIL_", "WEB_", "IM_"].iter().any(|start| id.starts_with(start)) => Field::Multi(upper),
        _ if id.starts_with("UF_CRM_") => Field::Custom(upper),
        _ => by_title().map_or(Field::Unknown, |id| field(kind, id)),
    }
}

/// The cells of a file: byte order mark or none, one of four delimiters, quotes and doubled quotes, LF or CRLF.
pub fn cells(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let count = |delimiter: &char| first.matches(*delimiter).count();
    let delimiter = [' ', '\t', ',', ';'].into_iter().max_by_key(count).unwrap();
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            c if quoted => cell.push(c),
            c if c == delimiter => line.push(std::mem::take(&mut cell)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted, "a quote is not closed");
    if !cell.is_empty() || !line.is_empty() {
        line.push(cell);
        lines.push(line);
    }
    lines
}

/// The records of a file by header, for those who want to look at columns that no importer takes.
pub fn records(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut lines = cells(bytes).into_iter();
    let headers = lines.next().expect("a header");
    lines.map(|line| headers.iter().cloned().zip(line).collect()).collect()
}

fn several(kind: &str, cell: &str) -> Vec<String> {
    let separator = match kind {
        _ if cell.contains(';') => ";",
        "PHONE" | "EMAIL" if cell.contains(',') => ",",
        "EMAIL" => " ",
        _ => ";",
    };
    cell.split(separator).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
}

/// A name as a MySQL server compares it by its usual collations: without case and accents.
fn folded(name: &str) -> String {
    name.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

fn responsible(cell: &str) -> Option<u32> {
    let inside = cell.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    inside.unwrap_or(cell).trim().parse().ok()
}

impl Portal {
    /// The elements of a kind.
    pub fn of(&self, kind: &str) -> &[Element] {
        self.elements.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Imports one file. Records are added, never updated; lines of one deal or lead are put together by their ID, as the
    /// importers of both do it (they call it a lead of several products, too).
    pub fn import(&mut self, kind: &str, bytes: &[u8]) {
        let mut lines = cells(bytes).into_iter();
        let fields: Vec<Field> = lines.next().expect("a header").iter().map(|header| field(kind, header)).collect();
        let mut before: Option<String> = None;
        for line in lines {
            assert_eq!(line.len(), fields.len(), "{kind}: a line has other cells than the header: {line:?}");
            let id = fields.iter().position(|field| *field == Field::Id).map(|at| line[at].trim().to_owned());
            let element = self.element(kind, &fields, &line);
            let same = ["deals", "leads"].contains(&kind) && id.is_some() && id == before;
            let list = self.elements.entry(kind.to_owned()).or_default();
            if let Some(known) = list.last_mut().filter(|_| same) {
                known.products.extend(element.products);
                continue;
            }
            before = id;
            match missing(kind, &element) {
                Some(why) => self.rejected.push((line.join("|"), why)),
                None => list.push(element),
            }
        }
    }

    fn element(&mut self, kind: &str, fields: &[Field], line: &[String]) -> Element {
        let mut element = Element::default();
        let mut product: [String; 3] = Default::default();
        for (field, cell) in fields.iter().zip(line) {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            match field {
                Field::Id | Field::Unknown => {}
                Field::Plain(name) => drop(element.fields.insert(name.clone(), cell.to_owned())),
                Field::Boolean(name) => {
                    let yes = ["Y", "YES", "1"].contains(&cell.to_uppercase().as_str());
                    element.fields.insert(name.clone(), if yes { "Y" } else { "N" }.to_owned());
                }
                Field::Responsible => {
                    let id = responsible(cell).unwrap_or(1);
                    element.fields.insert("ASSIGNED_BY_ID".to_owned(), id.to_string());
                }
                Field::Multi(name) => {
                    let kind = name.split('_').next().unwrap_or_default();
                    element.several.insert(name.clone(), several(kind, cell));
                }
                Field::Custom(name) => {
                    let values = cell.split(',').map(|value| value.trim().to_owned()).collect();
                    element.several.insert(name.clone(), values);
                }
                Field::CompanyTitle => {
                    if self.find("companies", cell).is_none() {
                        let fields = BTreeMap::from([("TITLE".to_owned(), cell.to_owned())]);
                        let new = Element { fields, ..Element::default() };
                        self.elements.entry("companies".to_owned()).or_default().push(new);
                    }
                    self.link(&mut element, "COMPANY", "companies", cell);
                }
                Field::CompanyOfDeal => self.link(&mut element, "COMPANY", "companies", cell),
                Field::ContactOfDeal => self.link(&mut element, "CONTACT", "contacts", cell),
                Field::Product(at) => cell.clone_into(&mut product[*at]),
            }
        }
        if !product[0].is_empty() {
            element.products.push(product);
        }
        let _ = kind;
        element
    }

    fn link(&self, element: &mut Element, field: &str, kind: &str, name: &str) {
        if let Some(found) = self.find(kind, name) {
            element.links.insert(field.to_owned(), name.to_owned());
            element.found.insert(field.to_owned(), found);
        }
    }

    /// The place of the first element of this name.
    fn find(&self, kind: &str, name: &str) -> Option<usize> {
        let wanted = folded(name);
        self.of(kind).iter().position(|element| folded(&element.name(kind)) == wanted)
    }

    /// Every element as one text, sorted: two portals with the same texts have the same elements, none of them twice. Places are
    /// no part of it.
    pub fn contents(&self) -> Vec<String> {
        let text = |element: &Element| format!("{:?}", Element { found: BTreeMap::new(), ..element.clone() });
        let mut all: Vec<String> = self
            .elements
            .iter()
            .flat_map(|(kind, elements)| elements.iter().map(move |element| format!("{kind} {}", text(element))))
            .collect();
        all.sort();
        all
    }
}

impl Element {
    /// What others find it by.
    pub fn name(&self, kind: &str) -> String {
        let field = |name: &str| self.fields.get(name).cloned().unwrap_or_default();
        if kind == "contacts" {
            return format!("{} {}", field("NAME"), field("LAST_NAME")).trim().to_owned();
        }
        field("TITLE")
    }
}

fn missing(kind: &str, element: &Element) -> Option<&'static str> {
    let has = |name: &str| element.fields.contains_key(name);
    match kind {
        "contacts" if !has("NAME") && !has("LAST_NAME") => Some("neither first nor last name"),
        "companies" | "leads" | "deals" if !has("TITLE") => Some("no title"),
        _ => None,
    }
}
