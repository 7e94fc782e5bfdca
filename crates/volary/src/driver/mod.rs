//! The driver: the guarantees live here, written once over every engine.
//!
//! Each file is one topic and adds its methods to [`Store`]; reports are plain data whose serialised form is the
//! command's JSON.

mod audit;
mod block;
mod calls;
mod check;
mod checksum;
mod checksum_list;
mod cleanup;
mod cloneable;
mod comparison;
mod content_record;
mod copy;
mod create;
mod doctor;
mod execute;
mod export;
mod fence;
mod fetch;
mod fill;
mod handle;
mod image_error;
mod import;
mod import_stream;
mod inspect;
mod journal;
mod lineage;
mod listing;
mod locks;
mod metadata;
mod notes;
mod order;
mod orphans;
mod outcome;
mod output_file;
mod patience;
mod patient;
mod plan;
mod pools;
mod qcow2_writer;
mod raw_stream;
mod remove;
mod rename;
mod resize;
mod sectors;
mod snapshot_removal;
mod snapshots;
mod source;
mod spool;
mod staging;
mod status;
mod store;
mod stream_sink;
mod transfer;
mod trash;
mod trash_note;
mod trash_purge;
mod unwrap;
mod verify;
mod ways;
mod why;

pub use audit::AUDIT_TARGET;
pub use check::{
    CheckFinding, CheckRequest, CheckSlice, RepairMode, RepairOutcome, RepairReport, SliceChecker,
    StoreCheckReport,
};
pub use checksum::{Algorithm, Checksum};
pub use cleanup::NamePattern;
pub use cloneable::{CloneableReport, NotCloneable};
pub use copy::{CopyOptions, CopyReport};
pub use create::CreateReport;
pub use doctor::{DoctorReport, doctor};
pub use export::{ExportFormat, ExportReport, ExportRequest, ExportTarget};
pub use fence::FenceReport;
pub use fetch::UrlSource;
pub use import::{ImportPlan, ImportReport, ImportRequest, SourceDigest, SourceReport};
pub use inspect::{CheckReport, InspectOptions, InspectReport, inspect};
pub use journal::{
    PendingListing, PendingPage, PendingRecord, Presence, ReapOptions, ReapOutcome, ReapReport, Reaper,
};
pub use lineage::{ChildListing, CloneReport, FlattenReport, ParentReport};
pub use listing::{SnapshotListing, UsageReport, VolumeDetails, VolumeInfo, VolumeListing};
pub use locks::LockReport;
pub use metadata::MetadataEntry;
pub use orphans::{Orphan, OrphanClass};
pub use outcome::{Outcome, RemoveReport, SnapshotOutcome, Step, StepOutcome};
pub use patience::{retry_pause, somewhat_earlier};
pub use remove::RemoveOptions;
pub use rename::RenameReport;
pub use resize::ResizeReport;
pub use snapshot_removal::SnapshotRemoveOptions;
pub use snapshots::SnapshotReport;
pub use source::{ImportSource, OpenedSource};
pub use status::{PoolStatus, StatusReport};
pub use store::Store;
pub use trash::{RestoreReport, TrashListing, TrashMoveReport};
pub use unwrap::Unwrap;
pub use verify::VerifyReport;
pub use volary_image::{Format as ImageFormat, Reason as RefusalReason};
pub use why::WhyReport;
