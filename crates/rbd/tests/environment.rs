//! Forgetting the environment: in a process with one thread, and never in one with more.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

/// Without the harness of tests, which has threads: `main` is all there is.
fn main() {
    let named = |name: &str| std::env::var_os(name).is_some();
    if named("CEPH_TEST_CHILD") {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert_eq!(rbd::forget_environment(), Err(rbd::Error::NotAlone { threads: 2 }));
        assert!(named("CEPH_ARGS") && named("CEPH_ANYTHING"), "refused, and nothing was changed");
        drop(stop);
        other.join().unwrap().unwrap_err();
        // A thread that has been joined may still be on its way out of the process.
        while rbd::forget_environment().is_err() {
            std::thread::yield_now();
        }
        assert!(!named("CEPH_ARGS") && !named("CEPH_ANYTHING") && !named("CEPH_TEST_CHILD"));
        assert!(named("OTHER_CEPH_ARGS"), "what others own stays");
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .env("CEPH_TEST_CHILD", "1")
        .env("CEPH_ARGS", "--x")
        .env("CEPH_ANYTHING", "y")
        .env("OTHER_CEPH_ARGS", "z");
    assert!(child.status().unwrap().success());
    println!("test s08_the_environment_is_forgotten_only_by_a_thread_that_is_alone ... ok");
}
