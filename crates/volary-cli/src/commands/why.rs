use super::pending::show_pending;
use crate::arguments::{duration, parsed};
use crate::output::{notes, or_dash, pairs, table};
use crate::session::Session;
use clap::Args;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use volary::{Error, ErrorKind, FenceReport, Result, Store, VolumeSpec};

/// Show what holds a volume, and how to release it
///
/// Shows watchers, locks, snapshots, clones in every pool, protection, trash, group, mirroring and caches, and what the user
/// may not see; also pending operations, and tasks that Ceph's manager has for the volume. Only reads, except with --fence.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary why web
  volary why ssd/id:10ab6e1f0c3d -o json
  volary why web --fence --client client.4123 --for 10m")]
pub(crate) struct Why {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// Cut off the client that has the volume open
    ///
    /// On Ceph, blocklists exactly that client for a while: everything it has open in the cluster fails, other volumes
    /// included, and its last writes may be lost. Asks first on a terminal; elsewhere it needs --yes. A local store does not
    /// support it.
    #[arg(long)]
    fence: bool,
    /// The client to cut off, if several have the volume open
    #[arg(long, value_name = "CLIENT", requires = "fence")]
    client: Option<String>,
    /// How long the client stays blocklisted
    #[arg(long = "for", requires = "fence", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    keep: Duration,
    /// Show which client would be cut off without doing it
    #[arg(long, requires = "fence")]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "fence")]
    yes: bool,
}

pub(crate) async fn run(args: Why, session: &Session) -> Result<()> {
    session
        .on_store(async |store| {
            if args.fence {
                fence(&args, store, session).await
            } else {
                why(&args.spec, store, session).await
            }
        })
        .await
}

async fn why(spec: &VolumeSpec, store: &Store, session: &Session) -> Result<()> {
    let report = store.why(spec, &session.ctl).await?;
    session.emit(&report, |of| {
        if of.holders.is_empty() && of.pending.is_empty() && of.tasks.is_empty() {
            return format!("nobody holds {}\n", of.volume) + &notes(&of.notes);
        }
        let rows = of
            .holders
            .iter()
            .map(|holder| [holder.kind.as_str().to_owned(), holder.detail.clone(), holder.remedy.clone()]);
        let mut text = match of.holders.is_empty() {
            true => String::new(),
            false => table(["HELD BY", "DETAIL", "REMEDY"], rows),
        };
        text.push_str(&show_pending(&of.pending));
        if !of.tasks.is_empty() {
            let tasks = of.tasks.iter().map(|task| [task.detail.clone(), task.remedy.clone()]);
            text.push_str(&table(["TASK", "REMEDY"], tasks));
        }
        text + &notes(&of.notes)
    })
}

async fn fence(args: &Why, store: &Store, session: &Session) -> Result<()> {
    let (plan, _) = store.plan_fence(&args.spec, args.client.as_deref(), &session.ctl).await?;
    if args.dry_run {
        return session.emit(&plan, show);
    }
    if !args.yes {
        confirm(&plan)?;
    }
    let report = store.fence(&args.spec, Some(&plan.client), args.keep, &session.ctl).await?;
    session.emit_done(&report, show)
}

fn show(of: &FenceReport) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    pairs([
        ("volume", of.volume.to_string()),
        ("client", of.client.clone()),
        ("address", or_dash(of.address.as_ref())),
        ("fenced", yes(of.fenced)),
        ("until", or_dash(of.until)),
        ("still has it open", yes(of.watching)),
    ])
}

/// Asks on the terminal; what cannot be asked is refused.
fn confirm(plan: &FenceReport) -> Result<()> {
    let refused =
        |message: &'static str| Error::new(ErrorKind::Usage, message).context("client", &plan.client);
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused("not confirmed, nothing was done").hint("say --yes where nobody can be asked"));
    }
    let FenceReport { volume, client, .. } = plan;
    let at = or_dash(plan.address.as_ref());
    let mut terminal = std::io::stderr();
    let asked = write!(
        terminal,
        "{client} at {at} has {volume} open. Fencing it fails everything it has open in the cluster, and may lose \
         what it wrote last.\nFence it? (y/N) "
    );
    let mut answer = String::new();
    asked
        .and_then(|()| terminal.flush())
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
        .map_err(|error| Error::io("asking on the terminal", error))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("declined, nothing was done")),
    }
}
