//! Every setting that a tenant may set on its database, and what it decides. Those that decide rights or exchanged text are pinned in
//! each session ([`super::startup`]). Those that only the tenant's own expressions read are in force while a backup is loaded.

use super::database_properties::Setting;

/// What a setting decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Whose rights a session has, what it sees, how it parses, and the text that goes in and out: pinned.
    Pinned,
    /// What an expression of the tenant's computes, or how its rows are kept. Rows that are loaded do not depend on it, because their
    /// text was written with pinned settings. In force in the sessions that load.
    Expressions,
    /// How fast, how much memory, what is logged, what ends a session: a session of Sennight's has the server's own, or pins it.
    Operation,
}

const PINNED: &[&str] = &[
    "IntervalStyle",
    "application_name",
    "array_nulls",
    "backslash_quote",
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "createrole_self_grant",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "escape_string_warning",
    "exit_on_error",
    "gin_fuzzy_search_limit",
    "lc_monetary",
    "local_preload_libraries",
    "password_encryption",
    "quote_all_identifiers",
    "restrict_nonsystem_relation_kind",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "synchronize_seqscans",
    "synchronous_commit",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "xmloption",
];

const EXPRESSIONS: &[&str] = &[
    "DateStyle",
    "TimeZone",
    "bytea_output",
    "default_text_search_config",
    "default_toast_compression",
    "extra_float_digits",
    "lc_numeric",
    "lc_time",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
];

/// Beginnings of names.
const OPERATION: &[&str] = &[
    "backend_flush_after",
    "client_connection_check_interval",
    "commit_siblings",
    "constraint_exclusion",
    "cpu_",
    "cursor_tuple_fraction",
    "debug_",
    "default_statistics_target",
    "default_table_access_method",
    "default_tablespace",
    "effective_",
    "enable_",
    "file_copy_method",
    "force_parallel_mode",
    "from_collapse_limit",
    "geqo",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "icu_validation_level",
    "idle_",
    "io_combine_limit",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "log_parameter_max_length_on_error",
    "logical_decoding_work_mem",
    "maintenance_",
    "max_parallel_",
    "md5_password_warnings",
    "min_parallel_",
    "operator_precedence_warning",
    "parallel_",
    "plan_cache_mode",
    "random_page_cost",
    "recursive_worktable_factor",
    "scram_iterations",
    "seq_page_cost",
    "ssl_renegotiation_limit",
    "statement_timeout",
    "stats_fetch_consistency",
    "tcp_",
    "temp_",
    "trace_",
    "transaction_timeout",
    "vacuum_",
    "wal_",
    "work_mem",
];

/// The class of a setting; `None` of one that this version does not know.
pub fn class(name: &str) -> Option<Class> {
    let is = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is(PINNED) {
        return Some(Class::Pinned);
    }
    if is(EXPRESSIONS) {
        return Some(Class::Expressions);
    }
    OPERATION.iter().any(|begin| name.starts_with(begin)).then_some(Class::Operation)
}

/// Of a database's settings those that are in force while a backup of it is loaded.
pub fn of_expressions(settings: &[Setting]) -> Vec<(&str, &str)> {
    let wanted = |s: &&Setting| s.role.is_none() && class(&s.name) == Some(Class::Expressions);
    settings.iter().filter(wanted).map(|s| (s.name.as_str(), s.value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i11_only_settings_of_expressions_are_taken_over_from_a_tenant() {
        let setting = |role: Option<&str>, name: &str| Setting {
            role: role.map(str::to_owned),
            name: name.to_owned(),
            value: "v".to_owned(),
        };
        let names = [
            "TimeZone",
            "timezone",
            "search_path",
            "role",
            "row_security",
            "work_mem",
            "app.tenant",
            "session_authorization",
        ];
        let all: Vec<Setting> =
            names.iter().map(|name| setting(None, name)).chain([setting(Some("acme"), "TimeZone")]).collect();
        assert_eq!(of_expressions(&all), [("TimeZone", "v"), ("timezone", "v")]);
    }

    #[test]
    fn no_setting_has_two_classes() {
        for name in PINNED.iter().chain(EXPRESSIONS) {
            assert!(!OPERATION.iter().any(|begin| name.starts_with(begin)), "{name}");
        }
        assert!(PINNED.iter().all(|name| !EXPRESSIONS.contains(name)));
    }
}
