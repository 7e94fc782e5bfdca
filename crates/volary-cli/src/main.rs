//! The `volary` command: arguments and environment in; text, JSON and exit codes out. Everything it does is a call of
//! the `volary` library.
#![forbid(unsafe_code)]

mod arguments;
mod audit_log;
mod cli;
mod commands;
mod confine;
mod failure;
mod landlock;
mod log_text;
mod logging;
mod output;
mod progress;
mod session;
mod signals;
mod systemd;

use clap::Parser;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    // First of all, while there is one thread: Ceph's libraries would let these outrank the configuration. Where this
    // cannot be done, the store refuses to be connected to while they are set.
    let ignored = volary::engine::ceph::forget_environment().unwrap_or_default();
    // A core dump would hold whatever secrets the process knows; without one there is nothing to leak.
    let no_core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, no_core);

    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let on_ceph = matches!(cli.global.store, volary::StoreUrl::Ceph(_));
    if on_ceph {
        // The key will be in memory: nobody else of this user looks into it.
        let hidden = rustix::process::DumpableBehavior::NotDumpable;
        let _ = rustix::process::set_dumpable_behavior(hidden);
    }
    let metrics = match logging::start(&cli) {
        Ok(metrics) => metrics,
        Err(error) => return ExitCode::from(failure::report(&error, cli.global.output, None)),
    };
    let format = cli.global.output;
    let failed =
        |error| ExitCode::from(failure::report(&volary::Error::io("starting threads", error), format, None));
    // On this thread alone: a command that reads what a stranger wrote is confined before there are others.
    let first = match Builder::new_current_thread().enable_all().build() {
        Ok(first) => first,
        Err(error) => return failed(error),
    };
    let run = first.block_on(async { session::Run::begin(cli, ignored, metrics) }).confine(first);
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let code = runtime.block_on(run.run());
    // A blocking call that never returns must not keep the process: its thread is left behind.
    runtime.shutdown_background();
    if on_ceph {
        // Ceph's exit handlers crash beside a thread that is still in its libraries, and the exit code would be lost.
        let _ = std::io::Write::flush(&mut std::io::stdout());
        volary::engine::ceph::leave(code);
    }
    ExitCode::from(code)
}
