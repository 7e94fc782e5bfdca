//! The commands, one file each: arguments, the library call, how its result is shown.

mod agent;
mod check;
mod cleanup;
mod completions;
mod cp;
mod create;
mod doctor;
mod du;
mod export;
mod generate;
mod import;
mod info;
mod inspect;
mod lineage;
mod lock;
mod ls;
mod man;
mod meta;
mod mv;
mod orphans;
mod pending;
mod place;
mod pool;
mod python_types;
mod resize;
mod rm;
mod snap;
mod source;
mod status;
mod trash;
mod verify;
mod why;

pub(crate) use source::spool_dir;

use crate::session::Session;
use clap::Subcommand;
use volary::Result;

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(Box<import::Import>),
    Export(export::Export),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Cp(cp::Cp),
    Create(create::Create),
    Ls(ls::Ls),
    Info(info::Info),
    Du(du::Du),
    Resize(resize::Resize),
    Mv(mv::Mv),
    Rm(rm::Rm),
    Clone(lineage::Clone),
    Flatten(lineage::Flatten),
    Children(lineage::Children),
    Parent(lineage::Parent),
    Snap(snap::Snap),
    Trash(trash::Trash),
    Cleanup(cleanup::Cleanup),
    Orphans(orphans::Orphans),
    Check(check::Check),
    Why(why::Why),
    Pending(pending::Pending),
    Reap(pending::Reap),
    Agent(agent::Agent),
    Namespace(pool::NamespaceCommand),
    Pool(pool::Pool),
    Lock(lock::Lock),
    Meta(meta::Meta),
    Status(status::Status),
    Mons(status::Mons),
    Fsid(status::Fsid),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// Runs a command.
pub(crate) async fn run(command: Command, session: &Session) -> Result<()> {
    match command {
        Command::Import(args) => import::run(*args, session).await,
        Command::Export(args) => export::run(args, session).await,
        Command::Inspect(args) => inspect::run(args, session).await,
        Command::Verify(args) => verify::run(args, session).await,
        Command::Cp(args) => cp::run(args, session).await,
        Command::Create(args) => create::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Info(args) => info::run(args, session).await,
        Command::Du(args) => du::run(args, session).await,
        Command::Resize(args) => resize::run(args, session).await,
        Command::Mv(args) => mv::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::Clone(args) => lineage::clone(args, session).await,
        Command::Flatten(args) => lineage::flatten(args, session).await,
        Command::Children(args) => lineage::children(args, session).await,
        Command::Parent(args) => lineage::parent(args, session).await,
        Command::Snap(args) => snap::run(args, session).await,
        Command::Trash(args) => trash::run(args, session).await,
        Command::Cleanup(args) => cleanup::run(args, session).await,
        Command::Orphans(args) => orphans::run(args, session).await,
        Command::Check(args) => check::run(args, session).await,
        Command::Why(args) => why::run(args, session).await,
        Command::Pending(args) => pending::pending(args, session).await,
        Command::Reap(args) => pending::reap(args, session).await,
        Command::Agent(args) => agent::run(args, session).await,
        Command::Namespace(args) => pool::namespace(args, session).await,
        Command::Pool(args) => pool::pool(args, session).await,
        Command::Lock(args) => lock::run(args, session).await,
        Command::Meta(args) => meta::run(args, session).await,
        Command::Status(args) => status::status(args, session).await,
        Command::Mons(args) => status::mons(args, session).await,
        Command::Fsid(args) => status::fsid(args, session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}
