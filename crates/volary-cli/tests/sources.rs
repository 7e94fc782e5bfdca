//! URLs and compressed sources on the command line: flags, output, and nothing that is a secret.
#![allow(clippy::unwrap_used)]

mod harness;
use harness::Bench;
use volary_testkit::images::wrap;
use volary_testkit::web::{AUTHORITY, Asked, Reply, WebServer};

/// Serves files by their paths.
fn serving(files: &[(&str, &[u8])]) -> impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static {
    let files: Vec<_> = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
    move |_, asked| {
        let path = asked.target.split('?').next().unwrap();
        let found = files.iter().find(|(known, _)| known == path);
        found.map_or_else(
            || Reply::new("404 Not Found", &[("Content-Length", "0")], b""),
            |(_, bytes)| Reply::whole(bytes),
        )
    }
}

fn sha256(bench: &Bench, bytes: &[u8]) -> String {
    let path = bench.path("digested");
    std::fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn s08_a_url_is_imported_and_its_query_is_shown_nowhere() {
    let bench = Bench::new();
    let disk = std::fs::read(bench.image("disk.img", 1)).unwrap();
    let list = format!("{}  a b.img\n", sha256(&bench, &disk));
    let server = WebServer::new(serving(&[("/x/a%20b.img", &disk), ("/SHA256SUMS", list.as_bytes())]));
    let (url, list) = (server.url("/x/a%20b.img?token=s3cret"), server.url("/SHA256SUMS?token=s3cret"));
    let told = ["import", &url, "web", "--checksum-file", &list, "--allow-private-addresses", "-vv"];
    let ended = bench.run(&[&told[..], &["-o", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("s3cret"), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["source"]["path"], server.url("/x/a%20b.img?…"));
    assert_eq!(report["source"]["sha256"], sha256(&bench, &disk));
    assert_eq!(report["source"]["compression"], serde_json::Value::Null);
    assert!(!bench.ok(&["meta", "ls", "web"]).contains("s3cret"));
}

#[test]
fn s06_a_private_address_is_refused_without_the_flag() {
    let bench = Bench::new();
    let server = WebServer::new(serving(&[("/disk", &[7; 4096])]));
    for args in [&["inspect"][..], &["import", "web"], &["import", "web", "--dry-run"]] {
        let url = server.url("/disk?s3cret");
        let told = [&args[..1], &[url.as_str()], &args[1..]].concat();
        let ended = bench.run(&told);
        assert_eq!(ended.code, Some(6), "{told:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("--allow-private-addresses") && !ended.stderr.contains("s3cret"),
            "{}",
            ended.stderr
        );
    }
    let path = bench.image("disk.img", 1);
    let list = server.url("/SHA256SUMS");
    let ended = bench.run(&["import", path.to_str().unwrap(), "web", "--checksum-file", &list]);
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(server.asked().is_empty());
    bench.assert_empty();
}

#[test]
fn what_is_wrong_with_a_url_decides_the_exit_code() {
    let bench = Bench::new();
    let server = WebServer::new(serving(&[("/disk", &[7; 4096]), ("/SHA256SUMS", b"nothing\n")]));
    let (disk, gone, list) = (server.url("/disk"), server.url("/gone"), server.url("/SHA256SUMS"));
    for (source, more, code) in [
        ("http://user:s3cret@images.example/x", &[][..], 2),
        ("http://127.1/s3cret", &[], 2),
        ("ftp://images.example/s3cret", &[], 12),
        (&gone, &[], 3),
        (&disk, &["--checksum-file", &gone], 3),
        (&disk, &["--checksum-file", &list], 3),
        (&disk, &["--checksum-file", "s3://bucket/list"], 12),
        (&disk, &["--max-download", "1K"], 6),
        (&disk, &["--checksum", &format!("sha256:{}", "0".repeat(64))], 7),
    ] {
        let ended = bench.run(&[&["import", source, "web", "--allow-private-addresses"], more].concat());
        assert_eq!(ended.code, Some(code), "{source} {more:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    bench.assert_empty();
}

#[test]
fn https_trusts_the_authorities_of_a_file() {
    let bench = Bench::new();
    let server = WebServer::tls(serving(&[("/disk", &[7; 4096])]));
    let authority = bench.path("authority.pem");
    std::fs::write(&authority, AUTHORITY).unwrap();
    let url = server.url("/disk");
    let told = ["inspect", &url, "--allow-private-addresses", "--ca-file", authority.to_str().unwrap()];
    assert_eq!(bench.json(&told)["file_bytes"], 4096);
    // No variable of the environment adds an authority.
    let mut command = bench.command(&told[..3]);
    let ended = harness::ended(command.env("SSL_CERT_FILE", &authority).output().unwrap());
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
}

#[test]
fn compression_is_taken_off_when_told() {
    let bench = Bench::new();
    let disk = std::fs::read(bench.image("disk.img", 1)).unwrap();
    for (format, wrapped) in wrap::all(&disk) {
        let path = bench.path("packed");
        std::fs::write(&path, &wrapped).unwrap();
        let path = path.to_str().unwrap();
        for args in [&["inspect", path][..], &["import", path, format]] {
            let ended = bench.run(args);
            assert_eq!(ended.code, Some(6), "{args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("--decompress auto"), "{}", ended.stderr);
        }
        let sum = format!("sha256:{}", sha256(&bench, &wrapped));
        let plan = bench.json(&["import", path, format, "--decompress", "auto", "--dry-run"]);
        assert_eq!(plan["source"]["compression"], format);
        let report = bench.json(&["import", path, format, "--decompress", "auto", "--checksum", &sum]);
        assert_eq!(
            (&report["source"]["compression"], &report["size_bytes"]),
            (&plan["source"]["compression"], &disk.len().into())
        );
        let shown = bench.ok(&["inspect", path, "--decompress", "auto"]);
        assert!(shown.contains(format), "{shown}");
    }
}

/// Runs in a shell what would be typed, with the command's name as it is in examples.
fn shell(bench: &Bench, line: &str) -> harness::Ended {
    let line = line.replace("volary", env!("CARGO_BIN_EXE_volary"));
    let mut shell = std::process::Command::new("bash");
    harness::ended(shell.args(["-c", &line]).env("VOLARY_STORE", &bench.url).output().unwrap())
}

#[test]
fn s05_a_stream_that_breaks_off_is_no_volume_where_its_length_is_expected() {
    let bench = Bench::new();
    let disk = bench.image("disk.raw", 2).display().to_string();
    let broken = format!("(head -c 3M {disk}; exit 1) | volary import - web -f raw");
    let ended = shell(&bench, &format!("{broken} --expect-size 8M"));
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    assert!(ended.stderr.contains("expected_bytes") && ended.stderr.contains("3145728"), "{}", ended.stderr);
    bench.assert_empty();
    // Without it the shell alone can tell, when it is asked to.
    assert_eq!(shell(&bench, &format!("set -o pipefail; {broken}")).code, Some(1));
    bench.ok(&["rm", "web"]);
    // As the help has it, but for ssh.
    let help = bench.ok(&["import", "--help"]);
    let example = help.lines().find(|line| line.contains("| volary import -")).unwrap().trim();
    assert!(example.contains("pipefail") && example.contains("--expect-size"), "{example}");
    let line = example.replace("ssh host cat /dev/vg/disk", &format!("cat {disk}")).replace("10G", "8M");
    let ended = shell(&bench, &line);
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    assert_eq!(bench.json(&["info", "web"])["size_bytes"], 8 << 20);
}

#[test]
fn s06_what_is_as_long_as_no_disk_is_refused_with_the_flag_that_takes_it() {
    let bench = Bench::new();
    let page = bench.path("disk.raw");
    std::fs::write(&page, "<!doctype html>\n<title>Log in</title>\n").unwrap();
    let page = page.to_str().unwrap();
    for args in [&["inspect", page][..], &["import", page, "web"]] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(6), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: `-f raw`"), "{args:?}: {}", ended.stderr);
    }
    let ended = shell(&bench, &format!("cat {page} | volary import - web"));
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    bench.assert_empty();
    let told = bench.ok(&["import", page, "web", "-f", "raw"]);
    assert!(told.contains("note: the file's 38 bytes end within a sector"), "{told}");
    assert_eq!(bench.json(&["info", "web"])["size_bytes"], 512);
}

#[test]
fn s06_a_page_of_a_server_is_refused_with_the_flag_that_takes_it() {
    let bench = Bench::new();
    let server = WebServer::new(|_, _| {
        Reply::new("200 OK", &[("Content-Length", "512"), ("Content-Type", "text/html")], &[b'x'; 512])
    });
    let url = server.url("/disk.qcow2");
    let args = ["import", &url, "web", "--allow-private-addresses"];
    let ended = bench.run(&args);
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains("text/html") && ended.stderr.contains("`-f FORMAT`"), "{}", ended.stderr);
    bench.assert_empty();
    bench.ok(&[&args[..], &["-f", "raw"]].concat());
}
