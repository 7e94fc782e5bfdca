//! The driver: the guarantees live here, written once over every engine.
//!
//! Each file is one topic and adds its methods to [`Store`]; reports are plain data whose serialised form is the
//! command's JSON.

mod audit;
mod checksum;
mod content_record;
mod copy;
mod create;
mod digest;
mod doctor;
mod execute;
mod export;
mod fill;
mod handle;
mod image_error;
mod import;
mod inspect;
mod journal;
mod lineage;
mod listing;
mod locks;
mod metadata;
mod order;
mod outcome;
mod output_file;
mod patience;
mod plan;
mod pools;
mod qcow2_writer;
mod remove;
mod rename;
mod resize;
mod snapshots;
mod source;
mod spool;
mod staging;
mod status;
mod store;
mod transfer;
mod trash;
mod verify;

pub use audit::AUDIT_TARGET;
pub use checksum::{Algorithm, Checksum};
pub use copy::CopyReport;
pub use create::CreateReport;
pub use digest::{BLOCK_BYTES, ContentDigest, ContentHasher, leaf};
pub use doctor::{DoctorReport, doctor};
pub use export::{ExportFormat, ExportReport, ExportRequest, ExportTarget};
pub use import::{ImportPlan, ImportReport, ImportRequest, SourceDigest, SourceReport};
pub use inspect::{CheckReport, InspectReport, inspect};
pub use journal::{PendingListing, ReapOptions, ReapOutcome, ReapReport, Reaper};
pub use lineage::{ChildListing, CloneReport, FlattenReport, ParentReport};
pub use listing::{SnapshotListing, UsageReport, VolumeDetails, VolumeInfo, VolumeListing};
pub use locks::LockReport;
pub use metadata::MetadataEntry;
pub use outcome::{Outcome, RemoveReport, SnapshotOutcome, Step, StepOutcome};
pub use remove::RemoveOptions;
pub use rename::RenameReport;
pub use resize::ResizeReport;
pub use snapshots::{SnapshotRemoveOptions, SnapshotReport};
pub use source::ImportSource;
pub use status::{PoolStatus, StatusReport};
pub use store::Store;
pub use trash::{RestoreReport, TrashListing, TrashMoveReport};
pub use verify::VerifyReport;
pub use volary_image::Format as ImageFormat;
