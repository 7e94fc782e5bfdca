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

/// Settle and purge what is due, round after round, and serve metrics
///
/// Each round finishes or undoes what dead and failed operations left in the journal, `rm --retry-later` included, and removes
/// for good what Volary itself put into trash and whose date has passed. What fails is tried again, ever less often. Several
/// agents on one store are safe. A store that does not answer is tried again for as long as it takes.
///
/// Standard output carries nothing; with `-o json`, one line of JSON for each round. SIGTERM and SIGINT end it with exit
/// code 0: nothing more is begun, the call at hand ends, and what it does not finish stays pending. SIGHUP makes it connect to the store
/// anew, by what ceph.conf and the keyring say then.
///
/// `GET /metrics` answers in the text format of Prometheus; `GET /healthz` says `ok`, or 503 and the reason when the store
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
    /// Every namespace of the pools, listed anew each round
    #[arg(long)]
    all_namespaces: bool,
    /// How long to pause between rounds, less up to a quarter by chance
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    interval: Duration,
    /// Report a call on the store that makes no progress for so long; other namespaces are worked on meanwhile
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    stuck: Duration,
    /// Try so many pending operations, and volumes in trash, at most in a namespace in a round
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// So many namespaces at a time
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// How many volumes of each namespace to check in a round, as `volary check` without --read does; the metrics count findings
    #[arg(long, value_name = "N", default_value_t = 0)]
    check: u32,
    /// Where /metrics and /healthz are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9753")]
    listen: SocketAddr,
    /// Also on an address that other hosts can reach: there is no password and no encryption, and pools and namespaces are told
    #[arg(long)]
    allow_remote: bool,
    /// Do one round, print what it came to, and end: exit 11 if something is left
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
