use super::pending::show_reaped;
use crate::arguments::{duration, parsed};
use crate::session::Session;
use crate::{signals, systemd};
use clap::Args;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use volary::{Error, ErrorKind, Namespace, Result, Store};
use volary_agent::{AgentOptions, Health, RoundOutcome, RoundReport};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Settle pending operations and purge expired trash in rounds, and serve metrics
///
/// Each round finishes or undoes what dead and failed operations left in the journal, orders of `rm --retry-later` included,
/// and removes for good the expired volumes that Volary itself put in trash. Failed work is retried with backoff. Several
/// agents on one store are safe. If the store does not answer, the agent keeps trying to reach it.
///
/// Prints nothing to standard output, or one line of JSON per round with `-o json`. SIGTERM and SIGINT end it with exit code 0:
/// it starts nothing new, the current call ends, and what that does not finish stays pending. On SIGHUP it reconnects to the
/// store with the current ceph.conf and keyring.
///
/// `GET /metrics` answers in the text format of Prometheus; `GET /healthz` answers `ok`, or 503 and the reason when the store
/// does not answer or no round has finished for three intervals.
/// does not answer or no round has finished for three intervals.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary agent
  volary agent --all-namespaces ssd images --interval 5m
  volary agent --listen 192.0.2.7:9753 --allow-remote
  volary agent --check 200
  volary agent --once")]
pub(crate) struct Agent {
    /// The pools or namespaces
    #[arg(value_name = "POOL[/NAMESPACE]", default_value = "rbd", value_parser = parsed::<Namespace>)]
    places: Vec<Namespace>,
    /// All namespaces of the pools, listed again in each round
    #[arg(long)]
    all_namespaces: bool,
    /// Pause between rounds, shortened at random by up to a quarter
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    interval: Duration,
    /// Report a call on the store that makes no progress for this long; work on other namespaces continues
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    stuck: Duration,
    /// Per namespace and round, try at most N pending operations and N trashed volumes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// Number of namespaces to work on in parallel
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Per namespace and round, check N volumes as `volary check` does without --read; the metrics count findings
    #[arg(long, value_name = "N", default_value_t = 0)]
    check: u32,
    /// Address that serves /metrics and /healthz
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9753")]
    listen: SocketAddr,
    /// Allow an address that other hosts can reach: without password or encryption, the metrics name pools and namespaces
    #[arg(long)]
    allow_remote: bool,
    /// Run one round, print its result and exit, with code 11 if something is left
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(args: Agent, session: &Session) -> Result<()> {
    let options = AgentOptions {
        places: args.places.clone(),
        all_namespaces: args.all_namespaces,
        interval: args.interval,
        stuck: args.stuck,
        max: usize::try_from(args.max).unwrap_or(usize::MAX),
        jobs: usize::from(args.jobs),
        check: usize::try_from(args.check).unwrap_or(usize::MAX),
    };
    if options.interval < SHORTEST_INTERVAL || options.stuck < SHORTEST_INTERVAL {
        let error = Error::new(ErrorKind::Usage, "an interval that is too short");
        return Err(error.hint("--interval and --stuck take 100ms and more"));
    }
    let health = Health::new(options.interval.saturating_mul(3));
    if args.once {
        return session.on_store(async |store| once(store.clone(), options, health, session).await).await;
    }
    // Caught before anybody can know that it serves.
    let hangups = signals::hangups();
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(|error| Error::io("listening", error))?;
    tracing::info!(%address, "serving /metrics and /healthz");
    session.status(format_args!("serving http://{address}/metrics and /healthz"));
    let serving =
        volary_agent::serve(listener, session.metrics.clone(), health.clone(), CancellationToken::new());
    let _server = AbortOnDropHandle::new(tokio::spawn(serving));
    systemd::tell("READY=1");
    let ended = work(options, health, hangups, session).await;
    systemd::tell("STOPPING=1");
    match ended {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        ended => ended,
    }
}

async fn work(
    options: AgentOptions,
    health: Health,
    mut hangups: Option<Signal>,
    session: &Session,
) -> Result<()> {
    let mut store =
        volary_agent::connect(&session.store_url()?, &session.metrics, &health, &session.ctl).await?;
    loop {
        let stop = session.ctl.cancel_token().child_token();
        let (ctl, metrics) = (session.ctl.clone().cancelled_by(stop.clone()), session.metrics.clone());
        let agent = volary_agent::Agent::new(store.clone(), options.clone(), metrics, health.clone(), &ctl);
        let mut rounds = pin!(agent.run(|report| told(report, session)));
        let (ended, anew) = tokio::select! {
            ended = &mut rounds => (ended, None),
            anew = connected_anew(&mut hangups, session) => {
                stop.cancel();
                (rounds.await, Some(anew))
            }
        };
        // A store that does not answer is not waited for: the process goes on, or ends, all the same.
        let released = tokio::time::timeout(session.ctl.call_limit(), store.shutdown()).await;
        match anew {
            Some(anew) if ended.is_ok() => store = anew,
            _ => return ended.and(released.unwrap_or(Ok(()))),
        }
    }
}

/// Waits for SIGHUP, and connects to the store by what its configuration and keyring say then. What cannot be connected to changes nothing.
async fn connected_anew(hangups: &mut Option<Signal>, session: &Session) -> Store {
    loop {
        match hangups {
            Some(hangups) => drop(hangups.recv().await),
            None => std::future::pending().await,
        }
        let connected = async { Store::connect(&session.store_url()?, &session.ctl).await };
        match connected.await {
            Ok(store) => {
                tracing::info!("connected anew, as SIGHUP asked for");
                session.status("connected anew");
                return store;
            }
            Err(error) => {
                let error = error.report();
                tracing::error!(error, "SIGHUP: the store cannot be connected to anew; the connection stays");
            }
        }
    }
}

async fn once(store: Store, options: AgentOptions, health: Health, session: &Session) -> Result<()> {
    let metrics = session.metrics.clone();
    let report = volary_agent::Agent::new(store, options, metrics, health, &session.ctl).round().await;
    session.emit_done(&report, |report| {
        let failed = report.failed.iter().map(|of| format!("{}: {}\n", of.namespace, of.error));
        show_reaped(&report.reaped) + &super::trash::show_purge(&report.purged) + &failed.collect::<String>()
    })?;
    session.ctl.check("agent")?;
    if report.outcome == RoundOutcome::Done {
        return Ok(());
    }
    let kind = match report.outcome {
        RoundOutcome::Failed => report.failed.first().map_or(ErrorKind::Unreachable, |of| of.error_kind),
        _ => ErrorKind::Partial,
    };
    Err(Error::new(kind, "not everything could be settled").hint("`volary pending` shows what is left"))
}

async fn listen(args: &Agent) -> Result<TcpListener> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        return Err(Error::new(ErrorKind::Usage, "other hosts can reach that address")
            .context("listen", args.listen)
            .hint("/metrics and /healthz have no password and no encryption: add --allow-remote if that is meant"));
    }
    let listening = |error| {
        let error = Error::io("listening", error).context("listen", args.listen);
        let port = args.listen.port();
        match error.kind() {
            ErrorKind::Blocked => error.hint(format!(
                "somebody serves there, perhaps an agent that runs already: `ss -ltnp sport = :{port}` shows who; \
                 several agents on one store are safe, each with a --listen of its own"
            )),
            _ => error,
        }
    };
    TcpListener::bind(args.listen).await.map_err(listening)
}

/// One line of JSON for each round, when it is asked for.
fn told(report: &RoundReport, session: &Session) -> Result<()> {
    if !session.json() {
        return Ok(());
    }
    let json = serde_json::to_string(report)
        .map_err(|error| Error::new(ErrorKind::Internal, "encoding the result as JSON").because(error))?;
    crate::output::print(format!("{json}\n").as_bytes())
}
