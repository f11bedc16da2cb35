//! The command line of `kubectl sennight`, by kubectl's conventions.

#![allow(clippy::doc_markdown, reason = "the comments become --help, where backticks are noise")]

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use sennight_core::duration;
use std::path::PathBuf;
use std::time::Duration;

/// Restores of tenants' databases: see what waits for whom, approve, deny, record payments, hand out exports.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-sennight",
    bin_name = "kubectl sennight",
    version,
    about,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 refused by the cluster, 4 not found, 5 not confirmed, \
6 the record was tampered with, 7 somebody is not backed up (status --exit-code), 8 a drill did not prove the backup."
)]
pub struct Args {
    /// Which cluster, as whom.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Which cluster and namespace, as whom: kubectl's own flags.
#[derive(Debug, Default, Clone, ClapArgs)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// Namespace; absent is the context's.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig; absent is $KUBECONFIG or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Group to impersonate; may be given several times.
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "as_user")]
    pub as_groups: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List RestoreRequests and whom they wait for.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Explain a request in one paragraph for the ticket: what it waits for, whom, until when, and what comes next.
    Explain(ExplainArgs),
    /// Approve a request, as the helpdesk. Shows first what it is and what will be lost.
    Approve(ApproveArgs),
    /// Deny a request, as the helpdesk. A denial is final.
    Deny(DenyArgs),
    /// Record a payment, a waiver, a charge-back or a refund, as billing.
    Settle(SettleArgs),
    /// Print a short-lived link to a finished export, signed with your own AWS credentials. It is stored nowhere.
    #[cfg(feature = "s3")]
    Link(LinkArgs),
    /// Record a refund, as billing, for a request that was paid and brought nothing.
    Refund(RefundArgs),
    /// Read a request's record out of the bucket with your own AWS credentials, verify its chain, print it.
    #[cfg(feature = "s3")]
    Audit(AuditArgs),
    /// Is everybody backed up? On one screen.
    Status(StatusArgs),
    /// Restore a tenant's newest backup into a scratch database now, compare it, drop it: is this backup any good?
    Drill(DrillArgs),
    /// Print a completion script for the binary itself. kubectl completes by the executable kubectl_complete-sennight.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Answer kubectl's completion.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words so far.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Arguments of `list`.
#[derive(Debug, Default, ClapArgs)]
pub struct ListArgs {
    /// All namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only requests that wait for this.
    #[arg(long, value_enum)]
    pub awaiting: Option<Awaiting>,
    /// Label selector.
    #[arg(short = 'l', long, default_value = "")]
    pub selector: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Awaiting {
    /// The helpdesk's decision.
    Approval,
    /// Billing's payment.
    Payment,
    /// Billing's refund.
    Refund,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `restorerequest.sennight.dev/NAME` only.
    Name,
}

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// How far a write goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is written.
    #[default]
    None,
    /// It is only shown.
    Client,
    /// The cluster checks it, admission included, and keeps nothing.
    Server,
}

/// What all writing verbs take.
#[derive(Debug, Default, Clone, ClapArgs)]
pub struct WriteArgs {
    /// Write nothing: `client` only shows, `server` lets the cluster check it.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "server")]
    pub dry_run: DryRun,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Arguments of `approve`.
#[derive(Debug, ClapArgs)]
pub struct ApproveArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// Why, for the ticket.
    #[arg(long)]
    pub reason: Option<String>,
    /// Do not ask for the tenant's name. For scripts that have asked somebody.
    #[arg(short, long)]
    pub yes: bool,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Arguments of `deny`.
#[derive(Debug, ClapArgs)]
pub struct DenyArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// Why, for the ticket.
    #[arg(long)]
    pub reason: String,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Arguments of `settle`.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["reference", "refund"]))]
pub struct SettleArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// Billing's own reference: the invoice, order or waiver.
    #[arg(long)]
    pub reference: Option<String>,
    /// Amount, as a decimal number: 49.00
    #[arg(long, requires = "currency")]
    pub amount: Option<String>,
    /// Currency: EUR
    #[arg(long, requires = "amount")]
    pub currency: Option<String>,
    /// Nobody has to pay: our own fault, or goodwill.
    #[arg(long, conflicts_with_all = ["amount", "charged_back", "refund"], requires = "reference")]
    pub waive: bool,
    /// The plan covers it: the tenant bought one that includes restores.
    #[arg(long, conflicts_with_all = ["waive", "charged_back", "refund"], requires = "reference")]
    pub included_in_plan: bool,
    /// The money was taken back; before the restore is claimed this stops it.
    #[arg(long, conflicts_with = "refund", requires = "reference")]
    pub charged_back: bool,
    /// Reference of the refund that was made.
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["reference", "amount"])]
    pub refund: Option<String>,
    /// A sentence for people.
    #[arg(long)]
    pub message: Option<String>,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Arguments of `refund`.
#[derive(Debug, ClapArgs)]
pub struct RefundArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// Billing's own reference of the refund.
    #[arg(long)]
    pub reference: String,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
}

/// Arguments of `audit`.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["name", "uid"]))]
pub struct AuditArgs {
    /// Name of the RestoreRequest.
    pub name: Option<String>,
    /// Instead of a name: the UID of a RestoreRequest that is gone.
    #[arg(long)]
    pub uid: Option<String>,
    /// BackupStorage that the record lies in; absent is the request's, or the namespace's only one.
    #[arg(long, value_name = "NAME")]
    pub storage: Option<String>,
    /// Endpoint as you reach it; absent is the BackupStorage's.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// PEM file with the CAs to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Arguments of `status`.
#[derive(Debug, ClapArgs)]
pub struct StatusArgs {
    /// All namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Label selector.
    #[arg(short = 'l', long, default_value = "")]
    pub selector: String,
    /// How many tenants that need attention are listed, the worst first.
    #[arg(long, default_value_t = 15)]
    pub limit: usize,
    /// Read every BackupSchedule instead of what the operator has counted; with a selector always.
    #[arg(long)]
    pub exact: bool,
    /// Exit with 7 unless everybody is backed up.
    #[arg(long)]
    pub exit_code: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Arguments of `drill`.
#[derive(Debug, ClapArgs)]
pub struct DrillArgs {
    /// Name of the BackupSchedule, or the tenant's id.
    pub name: String,
    /// Do not wait for the result.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for it: 90s, 15m, 4h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = life)]
    pub timeout: Duration,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Arguments of `link`.
#[derive(Debug, ClapArgs)]
pub struct LinkArgs {
    /// Name of the RestoreRequest.
    pub name: String,
    /// How long the link lives, at most 7d: 90s, 15m, 4h, 2d. It dies earlier with temporary credentials.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = life)]
    pub expires_in: Duration,
    /// Endpoint as the receiver reaches it; absent is the BackupStorage's.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// PEM file with the CAs to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Do not look first whether the export is still there.
    #[arg(long)]
    pub no_check: bool,
}

/// The longest life that S3 gives a link.
const LONGEST_LINK: Duration = Duration::from_hours(7 * 24);

/// How long something lasts, in whole seconds and at most [`LONGEST_LINK`].
fn life(text: &str) -> Result<Duration, String> {
    // S3 counts a link's life in whole seconds.
    let life = duration::parse_with_days(text).ok().filter(|life| life.subsec_nanos() == 0 && *life <= LONGEST_LINK);
    life.ok_or_else(|| format!("{text:?} is no duration between 1s and 7d: write 90s, 15m, 4h or 2d"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_link_lives_a_week_at_most() {
        assert_eq!(life("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(life("7d"), Ok(LONGEST_LINK));
        for bad in ["", "15", "0s", "8d", "169h", "-1h", "1w", "99999999999999999999d", "é"] {
            assert!(life(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_payment_is_named_in_full_or_not_at_all() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|_| ()).map_err(|e| e.kind());
        assert!(parse("kubectl-sennight settle r --reference INV-1 --amount 49.00 --currency EUR").is_ok());
        assert!(parse("kubectl-sennight settle r --reference W-1 --waive").is_ok());
        assert!(parse("kubectl-sennight settle r --refund R-1").is_ok());
        assert!(parse("kubectl-sennight approve r --dry-run -n acme --context c").is_ok());
        assert!(parse("kubectl-sennight audit r").is_ok() && parse("kubectl-sennight audit --uid u").is_ok());
        for bad in [
            "kubectl-sennight settle r",
            "kubectl-sennight settle r --reference INV-1 --amount 49.00",
            "kubectl-sennight settle r --reference INV-1 --refund R-1",
            "kubectl-sennight settle r --reference INV-1 --waive --amount 1 --currency EUR",
            "kubectl-sennight deny r",
            "kubectl-sennight refund r",
            "kubectl-sennight audit",
            "kubectl-sennight audit r --uid u",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
