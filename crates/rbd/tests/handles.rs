//! Many threads let go of images in every way at once, beside a load on all cores; afterwards no image is open and no thread is left.
//!
//! `cargo xtask soak --handles` lets it last (`VOLARY_SOAK_SECONDS`) with random pauses around the locks of Ceph's libraries. Its
//! last line says what it did. A crash ends the process, and a call that takes longer than `LIMIT` fails it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "handles/actor.rs"]
mod actor;
#[path = "handles/draw.rs"]
mod draw;
#[allow(dead_code, unreachable_pub)]
#[path = "../../volary-testkit/src/sandbox.rs"]
mod sandbox;
#[path = "handles/site.rs"]
mod site;

use actor::{Actor, Counts};
use draw::Draw;
use sandbox::Sandbox;
use site::Site;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any call takes on a machine that is busy and shaken, and shorter than a hang.
const LIMIT: Duration = Duration::from_secs(180);
/// Connections, and threads on each of them.
const SITES: usize = 3;
const ACTORS: usize = 4;

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn main() {
    let lasting = Duration::from_secs(asked("VOLARY_SOAK_SECONDS", 5));
    let seed = asked("VOLARY_SOAK_SEED", 1);
    let library = rbd::Library::load(None).unwrap();
    // A failure ends the process beside all the threads.
    library.leave_at_exit();
    println!("librbd {}, {} s, seed {seed}", library.rbd_version().unwrap(), lasting.as_secs());
    let before = threads().len();
    // What is left when it fails goes with the process.
    let sandbox = Sandbox::new(
        &std::env::var("VOLARY_TEST_CEPH_CONF").expect("VOLARY_TEST_CEPH_CONF names no ceph.conf"),
    );
    let namespace = sandbox.name("handles").into_bytes();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sites: Vec<Arc<Site>> = runtime().block_on(async {
        let mut sites = vec![Arc::new(Site::open(&library, &namespace).await)];
        sites[0].make_golden().await;
        while sites.len() < SITES {
            sites.push(Arc::new(Site::open(&library, &namespace).await));
        }
        sites
    });

    let (ended, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let load: Vec<_> = (0..cores)
        .map(|_| {
            thread::spawn({
                let ended = ended.clone();
                move || spin(&ended)
            })
        })
        .collect();
    let actors: Vec<_> = (0..SITES * ACTORS)
        .map(|number| {
            let (site, ended) = (sites[number % SITES].clone(), ended.clone());
            let draw = Draw::new(seed, number as u64);
            thread::spawn(move || runtime().block_on(Actor::new(number, site, draw).run(&ended)))
        })
        .collect();
    while begun.elapsed() < lasting && !actors.iter().any(thread::JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(50));
    }
    ended.store(true, Ordering::Relaxed);
    let mut counts = Counts::default();
    for actor in actors {
        counts.add(&actor.join().expect("an actor failed; what it said is above"));
    }
    load.into_iter().for_each(|thread| thread.join().unwrap());

    runtime().block_on(async {
        sites[0].clear().await;
        for site in &sites {
            site.end().await;
        }
    });
    drop(sites);
    no_thread_left(before);
    println!(
        "handles: {} s, {} threads, {counts}; 0 images left open, 0 threads left",
        begun.elapsed().as_secs(),
        SITES * ACTORS
    );
}

/// Keeps a core busy.
fn spin(ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    // One that ends just now has no name any more.
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Waits until there are no more threads than before, which the connections' own take a moment for.
fn no_thread_left(before: usize) {
    let begun = Instant::now();
    while threads().len() > before {
        assert!(begun.elapsed() < LIMIT, "threads are left: {:?}", threads());
        thread::sleep(Duration::from_millis(20));
    }
}
