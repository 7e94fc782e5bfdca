use crate::arguments::{EXIT_CODES, parsed};
use crate::output::{self, matches, notes, or_dash, pairs};
use crate::session::Session;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use volary::{
    Algorithm, ExportFormat, ExportReport, ExportRequest, ExportTarget, Result, Store, VolumeSpec, show_size,
};

/// Write a volume or snapshot to a file
///
/// The file appears complete and synced, or not at all. It is sparse, and only its owner may read it. The data is compared with
/// the recorded digest while it is read: if a snapshot differs, or a head that has certainly not been written since, the exit
/// code is 7 and no file is created. Standard output has received all bytes by then.
///
/// To standard output, the command succeeds only if every byte was taken: from a pipe, when its reader has read the last one.
/// If the reader closes the pipe earlier, the exit code is 1, and the error gives the number of bytes taken.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary export web@base web.qcow2 -f qcow2
  volary export web - | zstd > web.raw.zst
  volary export web@base rescued.raw --accept-mismatch

{EXIT_CODES}"))]
pub(crate) struct Export {
    /// The volume or snapshot: `[POOL/[NAMESPACE/]]VOLUME[@SNAPSHOT]`
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// The file to create, or `-` to write raw bytes to standard output
    file: PathBuf,
    /// The format of the file
    #[arg(short, long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Compute a digest of the file: sha256, sha512 or md5
    #[arg(long, value_name = "ALG", value_parser = parsed::<Algorithm>)]
    digest: Option<Algorithm>,
    /// Export content that differs from the recorded digest, or is known to be damaged, as it is, to rescue the rest
    #[arg(long)]
    accept_mismatch: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Raw,
    Qcow2,
}

pub(crate) async fn run(args: Export, session: &Session) -> Result<()> {
    let streamed = args.file.as_os_str() == "-";
    let target =
        if streamed { ExportTarget::Stream(output::descriptor()?) } else { ExportTarget::File(args.file) };
    let mut request = ExportRequest::new(args.spec, target);
    request.format = match args.format {
        Format::Raw => ExportFormat::Raw,
        Format::Qcow2 => ExportFormat::Qcow2,
    };
    request.force = args.force;
    request.file_digest = args.digest;
    request.accept_mismatch = args.accept_mismatch;
    let export = async |store: &Store| {
        let report = store.export(request, &session.ctl).await?;
        // Standard output carries the volume then.
        if streamed {
            session.status(show(&report).trim_end());
            return Ok(());
        }
        session.emit_done(&report, show)
    };
    session.on_store(export).await
}

fn show(report: &ExportReport) -> String {
    pairs([
        ("volume", report.volume.to_string()),
        ("file", report.path.clone()),
        ("size", show_size(report.size_bytes)),
        ("data", show_size(report.data_bytes)),
        ("digest", report.digest.to_string()),
        ("match", matches(report.matches, report.mismatch_accepted)),
        ("mismatched", show_size(report.mismatched_bytes)),
        ("file digest", or_dash(report.file_digest.as_ref())),
        ("seconds", format!("{:.1}", report.seconds)),
    ]) + &notes(&report.notes)
}
