//! Finds the accounts that can access a schema, by their own rights or by those of a role or another account. Pure.

use crate::mysql::literal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An account: a user and the hosts that it comes from. A role has no host on MariaDB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Account {
    /// The user.
    pub user: String,
    /// The host, or a pattern of hosts.
    pub host: String,
}

impl Account {
    /// As statements name it.
    pub fn sql(&self) -> String {
        format!("{}@{}", literal(&self.user), literal(&self.host))
    }

    /// Reads `user@host`, as SHOW CREATE's DEFINER is kept; without a host it is a role.
    pub fn parse(text: &str) -> Self {
        let (user, host) = text.rsplit_once('@').unwrap_or((text, ""));
        Self { user: user.to_owned(), host: host.to_owned() }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.is_empty() { f.write_str(&self.user) } else { write!(f, "{}@{}", self.user, self.host) }
    }
}

/// What the server's own tables say about accounts and one schema.
#[derive(Debug, Clone, Default)]
pub struct SchemaAccess {
    /// Every account that can log in, and whether it is locked.
    pub accounts: BTreeMap<Account, bool>,
    /// Accounts and roles with rights on the schema, one of its tables or routines, or on everything.
    pub with_rights: BTreeSet<Account>,
    /// Roles and proxied accounts, each with the account that has their rights.
    pub inherits: Vec<(Account, Account)>,
    /// Accounts that administer the server.
    pub administrators: BTreeSet<Account>,
    /// The session's own account.
    pub own: Account,
}

/// The accounts that a lockout concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AffectedAccounts {
    /// Accounts to lock.
    pub to_lock: Vec<Account>,
    /// Accounts that somebody else has locked; they stay locked.
    pub already_locked: Vec<Account>,
    /// Administrators with rights on the schema: never locked.
    pub administrators: Vec<Account>,
}

impl SchemaAccess {
    /// Sorts the accounts that can access the schema.
    pub fn affected(&self) -> AffectedAccounts {
        let accessing = self.with_access();
        let everybody =
            accessing.iter().any(|account| account.host.is_empty() && account.user.eq_ignore_ascii_case("PUBLIC"));
        let mut reach = AffectedAccounts::default();
        for (account, locked) in &self.accounts {
            let reserved = ["mysql.", "mariadb."].iter().any(|prefix| account.user.starts_with(prefix));
            if reserved || *account == self.own || !(everybody || accessing.contains(account)) {
                continue;
            }
            let list = if self.administrators.contains(account) {
                &mut reach.administrators
            } else if *locked {
                &mut reach.already_locked
            } else {
                &mut reach.to_lock
            };
            list.push(account.clone());
        }
        reach
    }

    fn with_access(&self) -> BTreeSet<Account> {
        let mut accessing = self.with_rights.clone();
        loop {
            let before = accessing.len();
            let more: Vec<Account> =
                self.inherits.iter().filter(|(from, _)| accessing.contains(from)).map(|(_, to)| to.clone()).collect();
            accessing.extend(more);
            if accessing.len() == before {
                return accessing;
            }
        }
    }
}

impl AffectedAccounts {
    /// User names whose sessions are ended: of all locked accounts, unless an administrator has the same user name.
    pub fn logins(&self, own: &Account) -> BTreeSet<String> {
        let spared: BTreeSet<&str> =
            self.administrators.iter().map(|a| a.user.as_str()).chain(std::iter::once(own.user.as_str())).collect();
        let all = self.to_lock.iter().chain(&self.already_locked).map(|a| a.user.clone());
        all.filter(|user| !spared.contains(user.as_str()) && !user.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str) -> Account {
        Account { user: user.into(), host: if user.starts_with("r_") || user == "PUBLIC" { "" } else { "%" }.into() }
    }

    fn known(with_rights: &[&str], passes: &[(&str, &str)]) -> SchemaAccess {
        let accounts = ["app", "other", "root", "me", "off"].map(|user| (account(user), user == "off"));
        SchemaAccess {
            accounts: accounts.into(),
            with_rights: with_rights.iter().map(|user| account(user)).collect(),
            inherits: passes.iter().map(|(from, to)| (account(from), account(to))).collect(),
            administrators: [account("root")].into(),
            own: account("me"),
        }
    }

    fn users(accounts: &[Account]) -> Vec<&str> {
        accounts.iter().map(|a| a.user.as_str()).collect()
    }

    #[test]
    fn i3_whoever_has_rights_is_fenced_but_administrators_and_we() {
        let reach = known(&["app", "root", "me", "off"], &[]).affected();
        assert_eq!(users(&reach.to_lock), ["app"]);
        assert_eq!((users(&reach.already_locked), users(&reach.administrators)), (vec!["off"], vec!["root"]));
        assert_eq!(reach.logins(&account("me")), BTreeSet::from(["app".to_owned(), "off".to_owned()]));
    }

    #[test]
    fn i3_rights_by_roles_of_roles_count_and_so_does_everybodys() {
        let reach = known(&["r_a"], &[("r_a", "r_b"), ("r_b", "app"), ("r_c", "other")]).affected();
        assert_eq!(users(&reach.to_lock), ["app"]);
        assert_eq!(users(&known(&["PUBLIC"], &[]).affected().to_lock), ["app", "other"]);
        assert_eq!(users(&known(&[], &[("r_a", "app")]).affected().to_lock), Vec::<&str>::new());
    }
}
