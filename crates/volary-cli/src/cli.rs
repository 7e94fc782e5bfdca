//! The command line as a whole: what is true of every command.

use crate::arguments;
use crate::commands::Command;
use crate::output::Format;
use clap::{ArgAction, Args, Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use volary::StoreUrl;

/// Manages the block volumes of virtual machines: imports, clones, snapshots, verifies, exports and removes them.
#[derive(Debug, Parser)]
#[command(name = "volary", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = arguments::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The store: local:PATH, local: (the store in your data directory), or ceph:CONF?id=USER&timeout=SECONDS
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "VOLARY_STORE",
        hide_env_values = true,
        default_value = "local:"
    )]
    #[arg(value_parser = arguments::parsed::<StoreUrl>)]
    pub(crate) store: StoreUrl,
    /// Format of the results
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Time limit for connecting and for each metadata call [default: 30s, or the timeout in the store's URL]
    #[arg(long, global = true, value_name = "DURATION", value_parser = arguments::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Fail a transfer that moves no byte for this long
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = arguments::duration)]
    pub(crate) stall: Duration,
    /// Log more, each line with its duration: -v for steps, -vv for calls of the store, -vvv for calls of Ceph's libraries
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Print no status and no progress; log errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Format of log lines
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Append a JSON line to FILE when each audited operation starts and ends; FILE is created with mode 0600
    #[arg(long, global = true, value_name = "FILE", env = "VOLARY_AUDIT_LOG", hide_env_values = true)]
    pub(crate) audit_log: Option<PathBuf>,
    /// Show no progress bar
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
