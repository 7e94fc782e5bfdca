use crate::arguments::{EXIT_CODES, name, parsed, size};
use crate::commands::source::Source;
use crate::output::{notes, or_dash, pairs};
use crate::session::Session;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use volary::{
    Algorithm, Checksum, ImportPlan, ImportReport, ImportRequest, ImportSource, Name, Result, SourceDigest,
    SourceReport, Store, VolumeSpec, show_size,
};

/// Create a volume from a disk image
///
/// Checks the image strictly, copies it, reads the copy back and compares. The volume appears complete or not at all.
///
/// A URL is downloaded completely first, also with --dry-run. Connects to public addresses only; never uses proxies,
/// credentials or cookies.
/// Data from a URL or standard input, and decompressed data, is kept in an unnamed file in $TMPDIR (/var/tmp) meanwhile.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary import debian.qcow2 debian-13 --snapshot base --protect
  volary import disk.img web --checksum-file SHA256SUMS
  volary import https://img.example/disk.qcow2 web --checksum-file https://img.example/SHA256SUMS
  volary import disk.raw.xz web --decompress auto
  set -o pipefail; ssh host cat /dev/vg/disk | volary import - web -f raw --expect-size 10G

{EXIT_CODES}"))]
pub(crate) struct Import {
    #[command(flatten)]
    source: Source,
    /// The volume to create: [POOL/[NAMESPACE/]]VOLUME
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// Digest that the file must have, as it is before decompression: sha256:HEX, sha512:HEX or md5:HEX
    #[arg(long, value_parser = parsed::<Checksum>, conflicts_with = "checksum_file")]
    checksum: Option<Checksum>,
    /// SHA256SUMS file that lists the source: a path or a URL
    #[arg(long, value_name = "FILE")]
    checksum_file: Option<PathBuf>,
    /// Digest of the source file to record [default: sha256, none for raw files]
    #[arg(long, value_enum)]
    source_digest: Option<Digest>,
    /// Fail unless the source has this size before decompression; detects a stream whose writer failed midway
    #[arg(long, value_name = "SIZE", value_parser = size)]
    expect_size: Option<u64>,
    /// Take a snapshot with this name before the volume appears
    #[arg(long, value_parser = name)]
    snapshot: Option<Name>,
    /// Protect the snapshot, so that it can be cloned
    #[arg(long, requires = "snapshot")]
    protect: bool,
    /// Make the volume larger than the image: a size in whole sectors of 512 bytes
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    /// Do not read the volume back and compare
    #[arg(long)]
    no_verify: bool,
    /// Accept a disk whose content itself begins as an image format; safe only if nothing ever probes the volume's format
    #[arg(long)]
    allow_nested: bool,
    /// Show what would be done without doing it
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    /// Opens the source while the process may still open files.
    pub(crate) fn open(&mut self) -> Option<&ImportSource> {
        self.source.open_early()
    }

    /// Further files that the arguments name: a list of checksums, authorities to trust.
    pub(crate) fn also_reads(&self) -> impl Iterator<Item = &Path> {
        self.checksum_file.as_deref().into_iter().chain(self.source.ca_file())
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Digest {
    Sha256,
    Sha512,
    None,
}

pub(crate) async fn run(mut args: Import, session: &Session) -> Result<()> {
    let mut request = ImportRequest::new(args.source.open()?, args.spec);
    request.format = args.source.format()?;
    request.checksum = match args.checksum_file {
        Some(list) => Some(args.source.look_up(&list, &request.source, session).await?),
        None => args.checksum,
    };
    request.source_digest = match args.source_digest {
        None => SourceDigest::Auto,
        Some(Digest::Sha256) => SourceDigest::Of(Algorithm::Sha256),
        Some(Digest::Sha512) => SourceDigest::Of(Algorithm::Sha512),
        Some(Digest::None) => SourceDigest::None,
    };
    request.expected_bytes = args.expect_size;
    request.snapshot = args.snapshot;
    request.protect = args.protect;
    request.size_bytes = args.size;
    request.verify = !args.no_verify;
    request.allow_nested = args.allow_nested;
    let import = async |store: &Store| {
        if args.dry_run {
            return session.emit(&store.plan_import(&request, &session.ctl).await?, show_plan);
        }
        session.emit_done(&store.import(&request, &session.ctl).await?, show)
    };
    session.on_store(import).await
}

fn show(report: &ImportReport) -> String {
    pairs([
        ("volume", report.volume.to_string()),
        ("id", report.id.to_string()),
        ("size", show_size(report.size_bytes)),
        ("data", show_size(report.data_bytes)),
        ("digest", report.digest.to_string()),
        ("verified", if report.verified { "yes" } else { "no" }.to_owned()),
        ("snapshot", or_dash(report.snapshot.as_ref())),
        ("source", shown(&report.source)),
        ("sha256", or_dash(report.source.sha256.as_ref())),
        ("seconds", format!("{:.1}", report.seconds)),
    ]) + &notes(&report.source.notes)
}

fn show_plan(plan: &ImportPlan) -> String {
    pairs([
        ("would make", plan.volume.to_string()),
        ("size", show_size(plan.size_bytes)),
        ("data", show_size(plan.data_bytes)),
        ("available", or_dash(plan.available_bytes.map(show_size).as_ref())),
        ("snapshot", or_dash(plan.snapshot.as_ref())),
        ("protected", if plan.protect { "yes" } else { "no" }.to_owned()),
        ("read back", if plan.verify { "yes" } else { "no" }.to_owned()),
        ("source", shown(&plan.source)),
    ]) + &notes(&plan.source.notes)
}

fn shown(source: &SourceReport) -> String {
    match &source.compression {
        Some(compression) => format!("{} ({} in {compression})", source.path, source.format),
        None => format!("{} ({})", source.path, source.format),
    }
}
