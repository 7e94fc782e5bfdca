use crate::arguments::parsed;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::{Args, Subcommand};
use volary::{Name, Result, Store, VolumeSpec, unescape};

/// List, take and remove a volume's advisory locks
///
/// Volary neither opens a locked volume for writing nor changes or removes it; reading, exporting and cloning still work. A
/// lock stays until it is removed, even when the command or host that took it no longer exists.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary lock add web moving-to-ssd
  volary lock ls web
  volary lock rm web moving-to-ssd client.4123")]
pub(crate) struct Lock {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the holders of locks
    ///
    /// Locks taken automatically by the exclusive-lock feature are not listed.
    #[command(after_help = "Examples:\n  volary lock ls web")]
    Ls {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
    },
    /// Lock a volume, exclusively or shared
    ///
    /// Refused if the volume has a conflicting lock or is open for writing. The lock stays when this command ends, and then
    /// belongs to a client that no longer exists: to remove it, give `lock rm` that client's name, which this command prints.
    #[command(after_help = "Examples:
  volary lock add web moving-to-ssd
  volary lock add web backup-7 --shared backups")]
    Add {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// The lock's name (`rbd` calls it the lock's id)
        cookie: String,
        /// Share the lock with all clients that give the same tag
        #[arg(long, value_name = "TAG")]
        shared: Option<String>,
    },
    /// Remove a lock, no matter which client took it
    ///
    /// On Ceph, also blocklists the client that took it, as `rbd lock rm` does: if it still runs, all its later writes fail.
    #[command(after_help = "Examples:\n  volary lock rm web moving-to-ssd client.4123")]
    Rm {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// The lock's name, as `lock ls` shows it
        cookie: String,
        /// The client that took it, as `lock ls` shows it
        client: String,
    },
}

pub(crate) async fn run(args: Lock, session: &Session) -> Result<()> {
    session.on_store(async |store| run_on(store, args.verb, session).await).await
}

fn named(text: &str) -> Result<Name> {
    Ok(Name::from_bytes(unescape(text)?))
}

async fn run_on(store: &Store, verb: Verb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        Verb::Ls { spec } => {
            let lockers = store.lockers(&spec, ctl).await?;
            session.emit(&lockers, |all| {
                let row = |of: &volary::engine::Locker| {
                    [
                        of.cookie.to_string(),
                        of.client.to_string(),
                        of.address.clone(),
                        or_dash(of.tag.as_ref()),
                    ]
                };
                table(["COOKIE", "CLIENT", "ADDRESS", "SHARED"], all.iter().map(row))
            })
        }
        Verb::Add { spec, cookie, shared } => {
            let tag = shared.as_deref().map(named).transpose()?;
            let report = store.add_lock(&spec, &named(&cookie)?, tag.as_ref(), ctl).await?;
            session.emit_done(&report, |of| format!("{}\n", of.client))
        }
        Verb::Rm { spec, cookie, client } => {
            let report = store.break_lock(&spec, &named(&cookie)?, &named(&client)?, ctl).await?;
            session.emit_done(&report, |_| String::new())
        }
    }
}
