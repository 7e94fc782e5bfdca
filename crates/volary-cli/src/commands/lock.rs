use crate::arguments::parsed;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::{Args, Subcommand};
use volary::{Name, Result, Store, VolumeSpec, unescape};

/// Work with a volume's advisory locks
///
/// While a volume is locked nobody opens it to write, changes it or removes it, whoever tries; it can be read, exported and cloned.
/// A lock stays until it is removed, also when the command or host that took it is long gone.
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
    /// List who holds a lock
    ///
    /// What an image's exclusive-lock feature takes by itself is no lock of anybody's, and not shown.
    #[command(after_help = "Examples:\n  volary lock ls web")]
    Ls {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
    },
    /// Lock a volume, alone or shared
    ///
    /// Refused while somebody holds a lock otherwise or has the volume open to write. The lock stays when this command ends: it
    /// belongs to a client that is gone then, and `lock rm` with that client's name, printed here, is the way to remove it.
    #[command(after_help = "Examples:
  volary lock add web moving-to-ssd
  volary lock add web backup-7 --shared backups")]
    Add {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// What to call the lock (`rbd` calls it the lock's id)
        cookie: String,
        /// Share the lock with all who give the same tag
        #[arg(long, value_name = "TAG")]
        shared: Option<String>,
    },
    /// Remove a lock, whoever took it
    ///
    /// On Ceph the client that took it is blocklisted, as `rbd lock rm` does: if it still runs, all it writes fails from then on.
    #[command(after_help = "Examples:\n  volary lock rm web moving-to-ssd client.4123")]
    Rm {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// What the lock is called, as `lock ls` shows it
        cookie: String,
        /// Who took it, as `lock ls` shows it
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
