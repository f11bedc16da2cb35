//! A Bitrix24-like account: what its tables hold and what an importer should find of it, made up by proptest or by hand.

use crate::samples::{Sample, multi, of, sample};
use proptest::prelude::*;
use testkit::importer::{Element, Portal};

/// An account: what its tables hold, and what an importer should find.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub companies: Vec<Company>,
    pub contacts: Vec<Contact>,
    pub leads: Vec<(String, String)>,
    pub deals: Vec<Deal>,
}

#[derive(Debug, Clone)]
pub struct Company {
    pub title: String,
    pub comments: String,
    pub phones: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Contact {
    pub name: String,
    pub last_name: String,
    pub company: Option<usize>,
    pub emails: Vec<String>,
    /// Of the list field with the texts Red, Green, Blue.
    pub colours: Vec<usize>,
    pub note: String,
}

#[derive(Debug, Clone)]
pub struct Deal {
    pub title: String,
    pub company: Option<usize>,
    pub contact: Option<usize>,
    pub products: Vec<(String, i32)>,
    pub closed: bool,
}

const COLOURS: [&str; 3] = ["Red", "Green", "Blue"];

/// Columns of an upper-case table of MySQL's schema, all text but for the types that are said.
pub fn table(name: &str, columns: &[(&str, &str)], rows: &[Vec<Option<String>>]) -> Sample {
    let rows: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    sample(name, columns, &rows)
}

#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a cell of a row")]
pub fn some(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn filled<'a>(rows: &'a [Vec<(&'static str, String)>], name: &str) -> Sample {
    let borrowed: Vec<Vec<(&str, &'a str)>> =
        rows.iter().map(|row| row.iter().map(|(column, cell)| (*column, cell.as_str())).collect()).collect();
    let slices: Vec<&[(&str, &str)]> = borrowed.iter().map(Vec::as_slice).collect();
    of(name, &slices)
}

impl Account {
    /// The tables of the account, with something beside them that no export may hold.
    pub fn tables(&self) -> Vec<Sample> {
        let secret = [vec![("id", "1".to_owned()), ("subject", "SECRET".to_owned())]];
        let timeline = [vec![("id", "1".to_owned()), ("comment", "SECRET".to_owned())]];
        vec![
            filled(&[vec![("id", "17".to_owned()), ("name", "Irina".to_owned())]], "b_user"),
            of("b_crm_status", &[]),
            filled(&self.company_rows(), "b_crm_company"),
            filled(&self.contact_rows(), "b_crm_contact"),
            filled(&self.lead_rows(), "b_crm_lead"),
            filled(&self.deal_rows(), "b_crm_deal"),
            self.multis(),
            table(
                "b_user_field",
                &[
                    ("ID", "int"),
                    ("ENTITY_ID", "text"),
                    ("FIELD_NAME", "text"),
                    ("USER_TYPE_ID", "text"),
                    ("MULTIPLE", "text"),
                ],
                &[
                    ["1", "CRM_CONTACT", "UF_CRM_COLOUR", "enumeration", "Y"].map(some).to_vec(),
                    ["2", "CRM_CONTACT", "UF_CRM_NOTE", "string", "N"].map(some).to_vec(),
                    ["3", "CRM_DEAL", "UF_CRM_COLOUR", "string", "N"].map(some).to_vec(),
                ],
            ),
            table(
                "b_user_field_enum",
                &[("ID", "int"), ("USER_FIELD_ID", "int"), ("VALUE", "varchar(255)")],
                &COLOURS.iter().enumerate().map(|(at, text)| vec![some(at), some(1), some(text)]).collect::<Vec<_>>(),
            ),
            table(
                "b_uts_crm_contact",
                &[("VALUE_ID", "int"), ("UF_CRM_COLOUR", "text"), ("UF_CRM_NOTE", "text")],
                &(1..)
                    .zip(&self.contacts)
                    .map(|(id, contact)| vec![some(id), some("a:1:{i:0;i:1;}"), some(&contact.note)])
                    .collect::<Vec<_>>(),
            ),
            self.colours(),
            self.products(),
            filled(&secret, "b_crm_act"),
            filled(&timeline, "b_crm_timeline"),
        ]
    }

    fn company_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, company): (i32, &Company)| {
            vec![
                ("id", id.to_string()),
                ("title", company.title.clone()),
                ("comments", company.comments.clone()),
                ("is_my_company", "N".to_owned()),
                ("category_id", "0".to_owned()),
            ]
        };
        (1..).zip(&self.companies).map(row).collect()
    }

    fn contact_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, contact): (i32, &Contact)| {
            let mut row = vec![
                ("id", id.to_string()),
                ("name", contact.name.clone()),
                ("last_name", contact.last_name.clone()),
                ("full_name", format!("{} {}", contact.name, contact.last_name)),
                ("category_id", "0".to_owned()),
                ("opened", "Y".to_owned()),
                ("assigned_by_id", "17".to_owned()),
            ];
            row.extend(contact.company.map(|at| ("company_id", (at + 1).to_string())));
            row
        };
        (1..).zip(&self.contacts).map(row).collect()
    }

    fn lead_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, (title, comments)): (i32, &(String, String))| {
            vec![("id", id.to_string()), ("title", title.clone()), ("comments", comments.clone())]
        };
        (1..).zip(&self.leads).map(row).collect()
    }

    fn deal_rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let row = |(id, deal): (i32, &Deal)| {
            let closed = if deal.closed { "Y" } else { "N" };
            let mut row = vec![("id", id.to_string()), ("title", deal.title.clone()), ("closed", closed.to_owned())];
            row.extend(deal.company.map(|at| ("company_id", (at + 1).to_string())));
            row.extend(deal.contact.map(|at| ("contact_id", (at + 1).to_string())));
            row
        };
        (1..).zip(&self.deals).map(row).collect()
    }

    fn multis(&self) -> Sample {
        let mut rows = Vec::new();
        let mut add = |owner: &str, id: usize, kind: &str, of: &str, value: &str| {
            let cells = multi(owner, "0", kind, of, value).map(|(column, cell)| (column, cell.to_owned()));
            let mut cells = cells.to_vec();
            cells[1].1 = id.to_string();
            rows.push(cells);
        };
        for (at, company) in self.companies.iter().enumerate() {
            company.phones.iter().for_each(|phone| add("COMPANY", at + 1, "PHONE", "WORK", phone));
        }
        for (at, contact) in self.contacts.iter().enumerate() {
            contact.emails.iter().for_each(|email| add("CONTACT", at + 1, "EMAIL", "HOME", email));
        }
        filled(&rows, "b_crm_field_multi")
    }

    fn colours(&self) -> Sample {
        let values = (1..).zip(&self.contacts).flat_map(|(id, contact)| {
            contact.colours.iter().map(move |colour| vec![some(id), some(1), None, some(colour)])
        });
        let columns = [("VALUE_ID", "int"), ("FIELD_ID", "int"), ("VALUE", "text"), ("VALUE_INT", "int")];
        table("b_utm_crm_contact", &columns, &values.collect::<Vec<_>>())
    }

    fn products(&self) -> Sample {
        let mut rows = Vec::new();
        for (id, deal) in (1..).zip(&self.deals) {
            for (name, price) in &deal.products {
                rows.push(vec![some(id), some("D"), some(name), some(price), some("2.0000")]);
            }
            rows.push(vec![some(id), some("Q"), some("of a quote"), some(1), some(1)]);
        }
        let columns = [
            ("OWNER_ID", "int"),
            ("OWNER_TYPE", "varchar(20)"),
            ("PRODUCT_NAME", "varchar(256)"),
            ("PRICE", "decimal(26,8)"),
            ("QUANTITY", "decimal(18,4)"),
        ];
        table("b_crm_product_row", &columns, &rows)
    }

    /// What an importer should find of the elements that pass, by kind and place.
    pub fn expected(&self, passes: impl Fn(&str, usize) -> bool) -> Portal {
        let mut portal = Portal::default();
        let mut add = |kind: &str, at: usize, element: Element| {
            if passes(kind, at) {
                portal.elements.entry(kind.to_owned()).or_default().push(element);
            }
        };
        for (at, company) in self.companies.iter().enumerate() {
            let mut element = plain(&[("TITLE", &company.title), ("COMMENTS", &company.comments)]);
            several(&mut element, "PHONE_WORK", &company.phones);
            add("companies", at, element);
        }
        for (at, contact) in self.contacts.iter().enumerate() {
            let mut element = plain(&[
                ("NAME", &contact.name),
                ("LAST_NAME", &contact.last_name),
                ("OPENED", "Y"),
                ("ASSIGNED_BY_ID", "17"),
            ]);
            several(&mut element, "EMAIL_HOME", &contact.emails);
            let colours: Vec<String> = contact.colours.iter().map(|at| COLOURS[*at].to_owned()).collect();
            several(&mut element, "UF_CRM_COLOUR", &colours);
            several(&mut element, "UF_CRM_NOTE", std::slice::from_ref(&contact.note));
            let company = contact.company.map(|at| self.companies[at].title.clone());
            element.links.extend(company.map(|title| ("COMPANY".to_owned(), title)));
            add("contacts", at, element);
        }
        for (at, (title, comments)) in self.leads.iter().enumerate() {
            add("leads", at, plain(&[("TITLE", title), ("COMMENTS", comments)]));
        }
        for (at, deal) in self.deals.iter().enumerate() {
            let closed = if deal.closed { "Y" } else { "N" };
            let mut element = plain(&[("TITLE", &deal.title), ("CLOSED", closed)]);
            let company = deal.company.map(|at| self.companies[at].title.clone());
            element.links.extend(company.map(|title| ("COMPANY".to_owned(), title)));
            let contact = deal.contact.map(|at| &self.contacts[at]);
            let contact = contact.map(|contact| format!("{} {}", contact.name, contact.last_name));
            element.links.extend(contact.map(|name| ("CONTACT".to_owned(), name)));
            let product = |(name, price): &(String, i32)| [name.clone(), price.to_string(), "2.0000".to_owned()];
            element.products = deal.products.iter().map(product).collect();
            add("deals", at, element);
        }
        portal
    }
}

/// Fields as an importer takes them: guarded where a spreadsheet would run them, trimmed, none that is empty.
fn plain(fields: &[(&str, &str)]) -> Element {
    let mut element = Element::default();
    for (name, text) in fields {
        let text = if runs_as_a_formula(text) { format!("'{text}") } else { (*text).to_owned() };
        if !text.trim().is_empty() {
            element.fields.insert((*name).to_owned(), text.trim().to_owned());
        }
    }
    element
}

/// What a spreadsheet would run, by the rule that docs/csv.md tells and none of Sennight's code: the first character decides, and
/// what is a number or a phone is spared.
fn runs_as_a_formula(text: &str) -> bool {
    let Some(first) = text.chars().next().filter(|c| "=+-@\t\r\n\0＝＋－＠".contains(*c)) else { return false };
    let rest = &text[first.len_utf8()..];
    let digits = rest.chars().filter(char::is_ascii_digit).count();
    let made_of = |others: &str| rest.chars().all(|c| c.is_ascii_digit() || others.contains(c));
    let number = "+-".contains(first)
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.replacen(',', ".", 1).parse::<f64>().is_ok();
    let phone = first == '+' && (digits > 0 && made_of(" ()") || digits >= 7 && made_of(" ()-"));
    !number && !phone
}

fn several(element: &mut Element, name: &str, values: &[String]) {
    let values: Vec<String> =
        values.iter().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect();
    if !values.is_empty() {
        element.several.insert(name.to_owned(), values);
    }
}

/// Names: whatever people type, but that they begin and end with a letter, as the importer trims them.
fn name() -> impl Strategy<Value = String> {
    "[a-c]([\\PC;,\"'\n\t=+@-]{0,8}[a-z])?".prop_map(|name| name.to_lowercase())
}

fn free_text() -> impl Strategy<Value = String> {
    "[\\PC;,\"'\n\r\t=+@\\\\-]{0,12}"
}

fn value() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9@.+-]{0,8}"
}

/// With what an importer looks for where a cell has no `;`.
fn mail() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9@.+, -]{0,8}"
}

fn phone() -> impl Strategy<Value = String> {
    "\\+?[0-9]{2,8}(, ?[0-9]{1,3})?"
}

/// The last of a list gets the first one's name, as people type it a second time.
fn twin(first: &str, how: u8) -> Option<String> {
    match how {
        1 => Some(first.to_owned()),
        2 => Some(first.to_uppercase()),
        3 => Some(first.replacen('a', "á", 1)),
        _ => None,
    }
}

pub fn account() -> impl Strategy<Value = Account> {
    let company = (name(), free_text(), prop::collection::vec(phone(), 0..3))
        .prop_map(|(title, comments, phones)| Company { title, comments, phones });
    let contact = (
        "[A-C][a-z]{0,3}",
        "[A-C][a-z]{0,3}",
        prop::option::of(0..8_usize),
        prop::collection::vec(mail(), 0..3),
        prop::collection::vec(0..3_usize, 0..3),
        value(),
    )
        .prop_map(|(name, last_name, company, emails, colours, note)| Contact {
            name,
            last_name,
            company,
            emails,
            colours,
            note,
        });
    let deal = (
        name(),
        prop::option::of(0..8_usize),
        prop::option::of(0..8_usize),
        prop::collection::vec((name(), -3..9_i32), 0..4),
        any::<bool>(),
    )
        .prop_map(|(title, company, contact, products, closed)| Deal { title, company, contact, products, closed });
    let parts = (
        prop::collection::vec(company, 1..6),
        prop::collection::vec(contact, 1..6),
        prop::collection::vec((name(), free_text()), 0..4),
        prop::collection::vec(deal, 0..6),
        (0..5_u8, 0..5_u8),
    );
    parts.prop_map(|(mut companies, mut contacts, leads, mut deals, twins)| {
        if let (Some(title), [_, .., last]) = (twin(&companies[0].title, twins.0), companies.as_mut_slice()) {
            last.title = title;
        }
        let first = (contacts[0].name.clone(), contacts[0].last_name.clone());
        if let (Some(name), [_, .., last]) = (twin(&first.0.to_lowercase(), twins.1), contacts.as_mut_slice()) {
            (last.name, last.last_name) = (name, first.1);
        }
        let (companies_, contacts_) = (companies.len(), contacts.len());
        for contact in &mut contacts {
            contact.company = contact.company.map(|at| at % companies_);
        }
        for deal in &mut deals {
            (deal.company, deal.contact) =
                (deal.company.map(|at| at % companies_), deal.contact.map(|at| at % contacts_));
        }
        Account { companies, contacts, leads, deals }
    })
}

/// One of each.
pub fn small() -> Account {
    let company = |title: &str| Company { title: title.into(), comments: String::new(), phones: Vec::new() };
    let contact = Contact {
        name: "Anna".into(),
        last_name: "Weber".into(),
        company: Some(0),
        emails: vec!["a@b.example".into()],
        colours: vec![2, 0],
        note: "call".into(),
    };
    let deal = Deal {
        title: "Roof".into(),
        company: Some(1),
        contact: Some(0),
        products: vec![("Panel".into(), 100), ("Cable".into(), -5)],
        closed: false,
    };
    Account {
        companies: vec![company("Acme"), company("ACME"), company("Other")],
        contacts: vec![contact],
        leads: vec![("Lead".into(), "x".into())],
        deals: vec![deal.clone(), Deal { products: Vec::new(), company: None, ..deal }],
    }
}
