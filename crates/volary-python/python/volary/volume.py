"""A volume by its name: the methods of ``Store`` that are about one, without saying each time which."""

import os
from collections.abc import Callable
from typing import Literal, Optional, Union, overload

from . import reports
from ._volary import Store

_Path = Union[str, os.PathLike[str]]
_Progress = Optional[Callable[[str, int, Optional[int]], object]]


class Volume:
    """The volume or snapshot that a spec names, whether it is there or not: nothing is asked for until a method is called.

    ``Volume(store, "vms/web")``; ``volume.at("golden")`` is its snapshot. Answers and exceptions are those of ``Store``'s
    methods of the same names. It holds nothing open, and what it names may be another volume by the next call.
    """

    def __init__(self, store: Store, spec: str) -> None:
        self._store = store
        self._spec = spec

    @property
    def store(self) -> Store:
        """The store it is in."""
        return self._store

    @property
    def spec(self) -> str:
        """What it was made with: ``[pool/[namespace/]]volume[@snapshot]``."""
        return self._spec

    def __repr__(self) -> str:
        return f"volary.Volume({self._store!r}, {self._spec!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Volume):
            return NotImplemented
        return (self._store.url, self._spec) == (other._store.url, other._spec)

    def __hash__(self) -> int:
        return hash((self._store.url, self._spec))

    def at(self, snapshot: str) -> "Volume":
        """A snapshot of it."""
        return Volume(self._store, f"{self._spec}@{snapshot}")

    # What it is.
    def exists(self) -> bool:
        return self._store.exists(self._spec)

    def size(self) -> int:
        return self._store.size(self._spec)

    def info(self) -> reports.VolumeInfo:
        return self._store.info(self._spec)

    def usage(self) -> list[reports.UsageReport]:
        return self._store.usage(self._spec)

    def why(self) -> reports.WhyReport:
        return self._store.why(self._spec)

    def parent(self) -> Optional[reports.ParentReport]:
        return self._store.parent(self._spec)

    def children(self) -> list[reports.ChildListing]:
        return self._store.children(self._spec)

    def snapshots(self) -> list[reports.SnapshotListing]:
        return self._store.snapshots(self._spec)

    # Its content.
    def create(self, size_bytes: int) -> reports.CreateReport:
        return self._store.create(self._spec, size_bytes)

    @overload
    def import_image(
        self,
        path: _Path,
        *,
        format: str = "auto",
        checksum: Optional[str] = None,
        source_digest: str = "auto",
        snapshot: Optional[str] = None,
        protect: bool = False,
        size_bytes: Optional[int] = None,
        verify: bool = True,
        allow_nested: bool = False,
        dry_run: Literal[False] = False,
        progress: _Progress = None,
    ) -> reports.ImportReport: ...
    @overload
    def import_image(
        self,
        path: _Path,
        *,
        format: str = "auto",
        checksum: Optional[str] = None,
        source_digest: str = "auto",
        snapshot: Optional[str] = None,
        protect: bool = False,
        size_bytes: Optional[int] = None,
        verify: bool = True,
        allow_nested: bool = False,
        dry_run: Literal[True],
        progress: _Progress = None,
    ) -> reports.ImportPlan: ...
    def import_image(  # type: ignore[no-untyped-def]
        self, path, **options
    ):
        return self._store.import_image(path, self._spec, **options)

    def export_image(
        self,
        path: _Path,
        *,
        format: str = "raw",
        force: bool = False,
        digest: Optional[str] = None,
        accept_mismatch: bool = False,
        progress: _Progress = None,
    ) -> reports.ExportReport:
        return self._store.export_image(
            self._spec,
            path,
            format=format,
            force=force,
            digest=digest,
            accept_mismatch=accept_mismatch,
            progress=progress,
        )

    def copy(
        self, to: str, *, accept_mismatch: bool = False, progress: _Progress = None
    ) -> reports.CopyReport:
        return self._store.copy(self._spec, to, accept_mismatch=accept_mismatch, progress=progress)

    def verify(self, *, record: bool = False, progress: _Progress = None) -> reports.VerifyReport:
        return self._store.verify(self._spec, record=record, progress=progress)

    def resize(self, size_bytes: int, *, allow_shrink: bool = False) -> reports.ResizeReport:
        return self._store.resize(self._spec, size_bytes, allow_shrink=allow_shrink)

    def rollback(self, *, progress: _Progress = None) -> reports.SnapshotReport:
        return self._store.rollback(self._spec, progress=progress)

    # Its name, metadata and locks.
    def rename(self, to: str) -> reports.RenameReport:
        """Gives the volume another name; this object goes on naming the old one."""
        return self._store.rename(self._spec, to)

    def metadata(self) -> list[reports.MetadataEntry]:
        return self._store.metadata(self._spec)

    def get_metadata(self, key: str) -> str:
        return self._store.get_metadata(self._spec, key)

    def set_metadata(self, key: str, value: str) -> None:
        self._store.set_metadata(self._spec, key, value)

    def remove_metadata(self, key: str) -> None:
        self._store.remove_metadata(self._spec, key)

    def locks(self) -> list[reports.Locker]:
        return self._store.locks(self._spec)

    def add_lock(self, cookie: str, *, shared: Optional[str] = None) -> reports.LockReport:
        return self._store.add_lock(self._spec, cookie, shared=shared)

    def break_lock(self, cookie: str, client: str) -> reports.LockReport:
        return self._store.break_lock(self._spec, cookie, client)

    # Snapshots, of the one that ``at`` names.
    def create_snapshot(self, *, protect: bool = False) -> reports.SnapshotReport:
        return self._store.create_snapshot(self._spec, protect=protect)

    def protect_snapshot(self) -> reports.SnapshotReport:
        return self._store.protect_snapshot(self._spec)

    def unprotect_snapshot(self) -> reports.SnapshotReport:
        return self._store.unprotect_snapshot(self._spec)

    def rename_snapshot(self, to: str) -> reports.SnapshotReport:
        return self._store.rename_snapshot(self._spec, to)

    def remove_snapshot(
        self, *, force: bool = False, flatten_children: bool = False, dry_run: bool = False
    ) -> reports.SnapshotOutcome:
        return self._store.remove_snapshot(
            self._spec, force=force, flatten_children=flatten_children, dry_run=dry_run
        )

    def purge_snapshots(
        self, *, force: bool = False, flatten_children: bool = False, dry_run: bool = False
    ) -> list[reports.SnapshotOutcome]:
        return self._store.purge_snapshots(
            self._spec, force=force, flatten_children=flatten_children, dry_run=dry_run
        )

    def clone(self, spec: str) -> reports.CloneReport:
        return self._store.clone(self._spec, spec)

    def flatten(self, *, progress: _Progress = None) -> reports.FlattenReport:
        return self._store.flatten(self._spec, progress=progress)

    # Its end.
    def remove(
        self,
        *,
        dry_run: bool = False,
        purge_snapshots: bool = False,
        flatten_children: bool = False,
        retry_later: bool = False,
        if_exists: bool = False,
        defer: Optional[float] = None,
        wait: float = 40.0,
    ) -> reports.RemoveReport:
        return self._store.remove(
            self._spec,
            dry_run=dry_run,
            purge_snapshots=purge_snapshots,
            flatten_children=flatten_children,
            retry_later=retry_later,
            if_exists=if_exists,
            defer=defer,
            wait=wait,
        )

    def trash_move(self, *, defer: float = 86400.0) -> reports.TrashMoveReport:
        return self._store.trash_move(self._spec, defer=defer)

    def trash_restore(self, name: Optional[str] = None) -> reports.RestoreReport:
        return self._store.trash_restore(self._spec, name)

    def trash_remove(self, *, force: bool = False, dry_run: bool = False) -> reports.RemoveReport:
        return self._store.trash_remove(self._spec, force=force, dry_run=dry_run)
