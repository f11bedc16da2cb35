//! Marks: tables whose name says what a schema is. MySQL and MariaDB have no OID for a schema and (on MySQL) no comment. A mark
//! is a table, so it moves with the other tables in one RENAME.

use crate::mysql::inventory::OWN;
use crate::mysql::{ident, literal};
use sennight_core::names::stable_hash;

/// What a schema with the mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Loaded for a request; after its swap this is the live schema.
    Restored,
    /// In the new schema during the swap. The RENAME itself turns it into [`Role::Previous`], in the previous schema.
    Ticket,
    /// Replaced by a request's swap. On servers the word is `kept`: it is part of a table's name and stays.
    #[strum(serialize = "kept")]
    Previous,
    /// About to be dropped.
    Dropping,
}

/// One mark: a role, the request, and the number of the schema (the live one's before the swap for tickets and previous ones).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What the schema is.
    pub role: Role,
    /// The request, as [`key`] writes it.
    pub request: String,
    /// The schema's number.
    pub number: u32,
}

/// A request's UID as part of a table's name: its hex digits, of a UUID all 32.
pub fn key(request_uid: &str) -> String {
    let digits: String = request_uid.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    digits.to_ascii_lowercase()
}

impl Mark {
    /// The mark of a request.
    pub fn new(role: Role, request_uid: &str, number: u32) -> Self {
        Self { role, request: key(request_uid), number }
    }

    /// The table's name, at most 61 characters.
    pub fn table(&self) -> String {
        format!("{OWN}{}_{}_{:08x}", self.role, self.request, self.number)
    }

    /// Parses a table's name; `None` if it is no mark.
    pub fn parse(table: &str) -> Option<Self> {
        let mut parts = table.strip_prefix(OWN)?.splitn(3, '_');
        let (role, request, number) = (parts.next()?, parts.next()?, parts.next()?);
        let number = u32::from_str_radix(number, 16).ok().filter(|_| number.len() == 8)?;
        let hex = request.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then_some(())?;
        Some(Self { role: role.parse().ok()?, request: request.to_owned(), number })
    }

    /// Whether it is this request's, in this role.
    pub fn is(&self, role: Role, request_uid: &str) -> bool {
        self.role == role && self.request == key(request_uid)
    }

    /// The statement that creates it in `schema`. Its rows store which events were on.
    pub fn create(&self, schema: &str, request_uid: &str) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {}.{} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL, value TEXT NOT NULL) \
             ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT = {}",
            ident(schema),
            ident(&self.table()),
            literal(&format!("Sennight's mark of RestoreRequest {request_uid}; leave it"))
        )
    }
}

/// The number of a live schema: its mark's, or what stands for one that nobody has restored yet.
pub fn number_of(schema: &str, marks: &[Mark]) -> u32 {
    let restored = marks.iter().find(|m| m.role == Role::Restored).map(|m| m.number);
    restored.unwrap_or_else(|| u32::from_str_radix(&stable_hash(&["schema", schema], 8), 16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0F3b2c1d-aaaa-4bbb-8ccc-1234567890ab";

    #[test]
    fn a_mark_is_read_as_it_was_written_and_fits_a_tables_name() {
        for role in [Role::Restored, Role::Ticket, Role::Previous, Role::Dropping] {
            let mark = Mark::new(role, UID, 0x00ab_cdef);
            assert!(mark.table().len() <= 64, "{}", mark.table());
            assert_eq!(Mark::parse(&mark.table()), Some(mark.clone()));
            assert!(mark.is(role, UID) && !mark.is(role, "another"));
        }
        for other in [
            "t",
            "__sennight_own",
            "__sennight_kept_xyz_00000001",
            "__sennight_kept_ab_1",
            "__sennight_old_ab_00000001",
        ] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_schema_has_the_number_of_its_mark_or_one_of_its_name() {
        let kept = Mark::new(Role::Previous, UID, 7);
        let unmarked = number_of("acme", &[]);
        assert_eq!(number_of("acme", std::slice::from_ref(&kept)), unmarked);
        assert_ne!(number_of("other", &[]), unmarked);
        assert_eq!(number_of("acme", &[kept, Mark::new(Role::Restored, UID, 9)]), 9);
    }
}
