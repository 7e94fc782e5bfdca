use crate::cli::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use volary::Result;

/// Print a completion script for a shell
///
/// Writes the script to standard output.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary completions bash > /etc/bash_completion.d/volary
  volary completions zsh > ~/.zfunc/_volary")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "volary", &mut script);
    crate::output::print(&script)
}
