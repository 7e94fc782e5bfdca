use super::place::namespaces;
use crate::arguments::parsed;
use crate::session::Session;
use clap::Args;
use futures::stream::{self, StreamExt};
use volary::{Namespace, Result, UsageReport, VolumeSpec, show_size};

/// Show the space that volumes and their snapshots use
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary du web
  volary du --pool ssd --all-namespaces")]
pub(crate) struct Du {
    /// The volume or snapshot; without it, every volume of the pool or namespace
    #[arg(value_parser = parsed::<VolumeSpec>, conflicts_with_all = ["namespace", "all_namespaces"])]
    spec: Option<VolumeSpec>,
    /// The pool or namespace
    #[arg(short = 'p', long = "pool", id = "namespace", value_name = "POOL[/NAMESPACE]")]
    #[arg(default_value = "rbd", value_parser = parsed::<Namespace>)]
    namespace: Namespace,
    /// All namespaces of the pool
    #[arg(long)]
    all_namespaces: bool,
}

pub(crate) async fn run(args: Du, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    let header = Some(format!("{:>10}  {:>10}  VOLUME", "SIZE", "USED"));
    let measure = async |store: &volary::Store| {
        if let Some(spec) = &args.spec {
            let usage = store.usage(spec, ctl).await?;
            let usage = stream::iter(usage.into_iter().map(Ok)).boxed();
            return session.emit_stream(usage, header, line).await;
        }
        let namespaces = &namespaces(&args.namespace, args.all_namespaces, store, ctl).await?;
        let usage = stream::iter(namespaces).flat_map(|namespace| store.usage_of_all(namespace, ctl));
        session.emit_stream(usage.boxed(), header, line).await
    };
    session.on_store(measure).await
}

fn line(of: &UsageReport) -> String {
    let volume = match &of.snapshot {
        Some(snapshot) => of.volume.at(snapshot.clone()),
        None => of.volume.clone(),
    };
    format!("{:>10}  {:>10}  {volume}", show_size(of.size_bytes), show_size(of.used_bytes))
}
