use crate::arguments::{EXIT_CODES, name, parsed, size};
use crate::commands::source;
use crate::output::{or_dash, pairs};
use crate::session::Session;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use volary::{
    Algorithm, Checksum, Error, ErrorKind, ImportPlan, ImportReport, ImportRequest, ImportSource, Name,
    Result, SourceDigest, Store, VolumeSpec, show_size,
};

/// Make a volume of a disk image
///
/// The image is checked strictly, copied, read back and compared; the volume appears complete or not at all.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary import debian.qcow2 debian-13 --snapshot base --protect
  volary import disk.img web --checksum-file SHA256SUMS
  curl -fL https://images.example/disk.qcow2 | volary import - web

{EXIT_CODES}"))]
pub(crate) struct Import {
    /// The disk image: a file, a block device, or `-` for standard input
    source: PathBuf,
    /// The volume to make: [POOL/[NAMESPACE/]]VOLUME
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// The format it must have, or `auto` for any that is accepted
    #[arg(short, long, default_value = "auto")]
    format: String,
    /// The digest the file must have: sha256:HEX, also sha512 and md5
    #[arg(long, value_parser = parsed::<Checksum>, conflicts_with = "checksum_file")]
    checksum: Option<Checksum>,
    /// A SHA256SUMS file that names the source
    #[arg(long, value_name = "FILE")]
    checksum_file: Option<PathBuf>,
    /// The digest of the file to record [default: sha256 for all but raw files]
    #[arg(long, value_enum)]
    source_digest: Option<Digest>,
    /// A snapshot to take of the volume
    #[arg(long, value_parser = name)]
    snapshot: Option<Name>,
    /// Protect the snapshot, so that it can be cloned
    #[arg(long, requires = "snapshot")]
    protect: bool,
    /// A size larger than the image's
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    /// Do not read the volume back
    #[arg(long)]
    no_verify: bool,
    /// Accept a disk that begins as an image format itself: only where nothing ever probes the volume for its format
    #[arg(long)]
    allow_nested: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[arg(skip)]
    opened: Option<ImportSource>,
}

impl Import {
    /// Opens the source while the process may still open files.
    pub(crate) fn open(&mut self) -> Option<&ImportSource> {
        self.opened = source::open(&self.source);
        self.opened.as_ref()
    }

    /// What else the command is told to read.
    pub(crate) fn checksum_file(&self) -> Option<&Path> {
        self.checksum_file.as_deref()
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Digest {
    Sha256,
    Sha512,
    None,
}

pub(crate) async fn run(args: Import, session: &Session) -> Result<()> {
    let mut request = ImportRequest::new(source::opened_or(args.opened, args.source.clone())?, args.spec);
    request.format = source::format(&args.format)?;
    request.checksum = match args.checksum_file {
        Some(file) => Some(look_up(&file, &args.source)?),
        None => args.checksum,
    };
    request.source_digest = match args.source_digest {
        None => SourceDigest::Auto,
        Some(Digest::Sha256) => SourceDigest::Of(Algorithm::Sha256),
        Some(Digest::Sha512) => SourceDigest::Of(Algorithm::Sha512),
        Some(Digest::None) => SourceDigest::None,
    };
    request.snapshot = args.snapshot;
    request.protect = args.protect;
    request.size_bytes = args.size;
    request.verify = !args.no_verify;
    request.allow_nested = args.allow_nested;
    let import = async |store: &Store| {
        if args.dry_run {
            return session.emit(&store.plan_import(&request, &session.ctl).await?, show_plan);
        }
        session.emit(&store.import(&request, &session.ctl).await?, show)
    };
    session.on_store(import).await
}

fn look_up(list: &Path, source: &Path) -> Result<Checksum> {
    // A list of checksums is text of some kilobytes; what is larger is something else.
    const LARGEST: u64 = 16 << 20;
    let failed = |error| Error::io("reading the checksum file", error).context("path", list.display());
    if std::fs::metadata(list).map_err(failed)?.len() > LARGEST {
        return Err(
            Error::new(ErrorKind::Usage, "the checksum file is too large").context("path", list.display())
        );
    }
    let text = std::fs::read(list).map_err(failed)?;
    let file_name = source.file_name().unwrap_or_default().to_string_lossy();
    Checksum::find_in(&String::from_utf8_lossy(&text), &file_name)
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
        ("source", format!("{} ({})", report.source.path, report.source.format)),
        ("sha256", or_dash(report.source.sha256.as_ref())),
        ("seconds", format!("{:.1}", report.seconds)),
    ])
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
        ("source", format!("{} ({})", plan.source.path, plan.source.format)),
    ])
}
