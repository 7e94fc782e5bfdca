//! The command line as a whole: what is true of every command.

use crate::arguments;
use crate::commands::Command;
use crate::output::Format;
use clap::{ArgAction, Args, Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use volary::StoreUrl;

/// Keeps the block volumes of virtual machines: imports, clones, snapshots, verifies, exports and removes them.
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
    /// The store: local:PATH, local: for the one in your data directory, or ceph:CONF?id=USER&timeout=SECONDS
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
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// How long connecting and each call on metadata may take [default: 30s, or as the store's URL says]
    #[arg(long, global = true, value_name = "DURATION", value_parser = arguments::duration)]
    pub(crate) timeout: Option<Duration>,
    /// How long a transfer may go without moving a byte
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = arguments::duration)]
    pub(crate) stall: Duration,
    /// Log more, each line with how long it took: -v each step, -vv each call of the store, -vvv each call of Ceph's libraries
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Print no status and no progress, and log errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// How log lines are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Append a line of JSON to this file when an operation that matters begins and ends; made for its owner alone if not there
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
