//! The commands, one file each: arguments, the library call, how its result is shown.

mod completions;
mod doctor;
mod generate;
mod man;

use crate::session::Session;
use clap::Subcommand;
use volary::Result;

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// Runs a command.
pub(crate) async fn run(command: Command, session: &Session) -> Result<()> {
    match command {
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}
