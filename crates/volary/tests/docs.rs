//! What docs/ says of errors and digests is what the code does.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use volary::{Error, ErrorKind};

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

/// The cells of the first table below a line that starts with `header`.
fn table(text: &str, header: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[test]
fn errors_page_has_every_kind_with_its_exit_code() {
    let rows = table(&page("errors.md"), "| kind |");
    let shown: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[2].clone(), row[3].as_str())).collect();
    let retry = |kind: &ErrorKind| if kind.is_retryable() { "yes" } else { "no" };
    let known = ErrorKind::ALL.iter().map(|kind| (kind.as_str(), kind.exit_code().to_string(), retry(kind)));
    assert_eq!(shown, known.collect::<Vec<_>>());
}

#[test]
fn security_page_has_every_reason_with_its_consequence() {
    let rows = table(&page("security.md"), "| reason |");
    let shown: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let known = volary::RefusalReason::ALL.iter().map(|reason| (reason.as_str(), reason.consequence()));
    assert_eq!(shown, known.collect::<Vec<_>>());
}

#[test]
fn operations_page_has_every_kind_of_finding_and_tells_notices_apart() {
    use volary::engine::FindingKind;
    let text = page("operations.md");
    let rows = table(&text[text.find("## Checking a store").unwrap()..], "| kind |");
    let shown: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[1].starts_with("notice"))).collect();
    let known = FindingKind::ALL.iter().map(|kind| (kind.as_str(), kind.is_notice()));
    assert_eq!(shown, known.collect::<Vec<_>>());
}

#[test]
fn errors_page_has_the_kinds_of_what_ceph_answers() {
    use rbd::Errno;
    let all = [
        Errno::ENOENT,
        Errno::EEXIST,
        Errno::EPERM,
        Errno::EACCES,
        Errno::EKEYREJECTED,
        Errno::EROFS,
        Errno::EBUSY,
        Errno::ENOTEMPTY,
        Errno::ESTALE,
        Errno::EUCLEAN,
        Errno::EAGAIN,
        Errno::ENOSPC,
        Errno::EDQUOT,
        Errno::EINVAL,
        Errno::ENAMETOOLONG,
        Errno::E2BIG,
        Errno::EFBIG,
        Errno::EDOM,
        Errno::ERANGE,
        Errno::EXDEV,
        Errno::EOPNOTSUPP,
        Errno::ENODEV,
        Errno::ETIMEDOUT,
        Errno::ENOTCONN,
        Errno::ECONNREFUSED,
        Errno::EHOSTUNREACH,
        Errno::ESHUTDOWN,
        Errno::EIO,
        Errno::EBADMSG,
        Errno::ECANCELED,
        Errno::EISDIR,
    ];
    let rows = table(&page("errors.md"), "| answer |");
    let (other, named) = rows.split_last().unwrap();
    assert_eq!(other[0], "any other");
    for errno in all {
        let at = Box::default();
        let kind = Error::from(rbd::Error::Failed { symbol: "rbd_open", errno, at }).kind();
        let name = errno.name().unwrap();
        let row = named.iter().find(|row| row[0].split(", ").any(|word| word == name)).unwrap_or(other);
        assert_eq!(row[1], kind.as_str(), "{name}");
    }
    let names: usize = named.iter().map(|row| row[0].split(", ").count()).sum();
    assert_eq!(names, all.len() - 4, "the test knows every number on the page");
}

#[test]
fn errors_page_has_the_kinds_of_errnos() {
    use rustix::io::Errno;
    let rows = table(&page("errors.md"), "| cause |");
    let number = |name: &str| match name {
        "ENOENT" => Errno::NOENT,
        "EEXIST" => Errno::EXIST,
        "EACCES" => Errno::ACCESS,
        "EPERM" => Errno::PERM,
        "EROFS" => Errno::ROFS,
        "ENOSPC" => Errno::NOSPC,
        "EDQUOT" => Errno::DQUOT,
        "EFBIG" => Errno::FBIG,
        "ETIMEDOUT" => Errno::TIMEDOUT,
        "EOPNOTSUPP" => Errno::OPNOTSUPP,
        "ENOSYS" => Errno::NOSYS,
        "EBUSY" => Errno::BUSY,
        "EAGAIN" => Errno::AGAIN,
        "ENOTEMPTY" => Errno::NOTEMPTY,
        "EINVAL" => Errno::INVAL,
        "ENAMETOOLONG" => Errno::NAMETOOLONG,
        "any other" => Errno::IO,
        other => panic!("the test does not know {other}"),
    };
    assert_eq!(rows.len(), 9);
    for row in rows {
        for name in row[0].split(", ") {
            let kind = Error::io("doing", number(name).into()).kind();
            assert_eq!(kind.as_str(), row[1], "{name}");
        }
    }
}

/// The definition, followed word by word and without regard to memory.
fn digest(content: &[u8]) -> String {
    const BLOCK: usize = 4_194_304;
    let mut root = blake3::Hasher::new_derive_key("volary 2026-11 volume content digest v1");
    root.update(&(content.len() as u64).to_le_bytes()).update(&(BLOCK as u64).to_le_bytes());
    for (i, part) in content.chunks(BLOCK).enumerate().filter(|(_, part)| part.iter().any(|b| *b != 0)) {
        let mut block = part.to_vec();
        block.resize(BLOCK, 0);
        root.update(&(i as u64).to_le_bytes()).update(blake3::hash(&block).as_bytes());
    }
    format!("volary-v1:{}", root.finalize().to_hex())
}

#[test]
fn s09_digest_page_defines_what_is_computed() {
    let rows = table(&page("digest.md"), "| content |");
    let shown: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
    assert_eq!(shown, [digest(&[]), digest(&[0; 512]), digest(&[1; 512])]);

    let mut content = vec![0; (13 << 20) + 5];
    content[5 << 20] = 7;
    content[13 << 20] = 9;
    let mut hasher = volary::ContentHasher::new(content.len() as u64);
    for (i, block) in content.chunks(4 << 20).enumerate() {
        if let Some(leaf) = volary::leaf(block) {
            hasher.add(i as u64, &leaf);
        }
    }
    assert_eq!(hasher.finish().to_string(), digest(&content));
}

#[test]
fn parity_page_names_calls_that_exist() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/driver");
    let files =
        [source.clone(), source.join("journal")].into_iter().flat_map(|of| std::fs::read_dir(of).unwrap());
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let code: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let page = page("parity.md");
    let calls: Vec<&str> = page.split('`').filter_map(|word| word.strip_prefix("Store::")).collect();
    assert!(calls.len() > 12);
    for call in calls {
        assert!(code.contains(&format!("pub async fn {call}(")), "there is no Store::{call}");
        let used = [format!(".{call}("), format!("Store::{call}(")];
        let mut examples = code.lines().filter(|line| line.trim_start().starts_with("/// "));
        let shown = examples.any(|line| used.iter().any(|used| line.contains(used)));
        assert!(shown, "Store::{call} is in no example");
    }
}
