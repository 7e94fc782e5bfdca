"""``RBDDriver`` and what goes with it: Nova's class by its methods, Volary by what they do."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Optional

import nova.conf
from nova import exception

import volary
from volary.nova import hub, names, theirs

try:
    import rbd

    from volary.nova import errors
except ImportError:
    rbd = None

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# What Nova's drivers call the snapshot to which a resize can be reverted; it goes with its volume.
RESIZE_SNAPSHOT_NAME = "nova-resize"
# Where librados looks first when it is told of no file.
DEFAULT_CONF = "/etc/ceph/ceph.conf"

# One connection per process, user and cluster, however many drivers are made; what cluster it is never changes.
_stores = {}
_fsids = {}


def _connected(url):
    store = _stores.get(url)
    if store is None:
        # Of two that connect at once, one is let go of.
        store = _stores.setdefault(url, volary.Store(url))
    return store


class RBDDriver:
    """The volumes of one pool, through Volary."""

    allow_shrink = False
    # Whether ``export_image`` takes a snapshot that is not what was recorded of it.
    accept_mismatch = False

    def __init__(
        self,
        pool: Optional[str] = None,
        user: Optional[str] = None,
        ceph_conf: Optional[str] = None,
        connect_timeout: Optional[int] = None,
    ) -> None:
        if rbd is None:
            raise RuntimeError("Python's modules rbd and rados are not installed")
        options = CONF.libvirt
        self.pool = pool or options.images_rbd_pool
        self.rbd_user = user or options.rbd_user
        self.ceph_conf = ceph_conf or options.images_rbd_ceph_conf
        self.rbd_connect_timeout = connect_timeout or options.rbd_connect_timeout

    def _url(self):
        conf = os.path.abspath(self.ceph_conf) if self.ceph_conf else DEFAULT_CONF
        wanted = [("id", self.rbd_user), ("timeout", self.rbd_connect_timeout)]
        chosen = "&".join(f"{key}={value}" for key, value in wanted if value)
        return f"ceph:{conf}?{chosen}"

    def _run(self, work):
        """What ``work`` makes of the store, made off the hub; what it fails with as callers know it."""
        try:
            return hub.aside(lambda: work(_connected(self._url())))
        except volary.Error as error:
            raise errors.translated(error) from error

    def _spec(self, name, pool=None, snapshot=None):
        return names.spec(pool or self.pool, name, snapshot)

    def ceph_args(self) -> list[str]:
        """The arguments that programs of Ceph need to reach the same cluster as the same user."""
        wanted = [("--id", self.rbd_user), ("--conf", self.ceph_conf)]
        return [word for option, value in wanted if value for word in (option, value)]

    def get_mon_addrs(self, strip_brackets: bool = True) -> tuple[list[str], list[str]]:
        """The monitors' hosts and ports: of the old protocol, which every client speaks, where there is one."""
        hosts, ports = [], []
        for monitor in self._run(lambda store: store.monitors()):
            at = {of["protocol"]: of["address"] for of in reversed(monitor["addresses"])}
            host, port = (at.get("v1") or next(iter(at.values()))).rsplit(":", 1)
            hosts.append(host.strip("[]") if strip_brackets else host)
            ports.append(port)
        return hosts, ports

    def parse_url(self, url: str) -> list[str]:
        """Store id, pool, image and snapshot; ``ImageUnacceptable`` for what is no such location."""
        return names.location(url)

    def get_fsid(self) -> str:
        """The cluster's id."""
        url = self._url()
        if url not in _fsids:
            _fsids[url] = self._run(lambda store: store.fsid())
        return _fsids[url]

    def is_cloneable(self, image_location: Mapping[str, Any], image_meta: Any) -> bool:
        """Whether ``clone`` would find a snapshot there that it can clone."""
        url = image_location["url"]
        try:
            at = names.quoted(*names.location(url))
        except exception.ImageUnacceptable as error:
            LOG.debug("%s", error)
            return False
        if image_meta.get("disk_format") != "raw":
            LOG.debug("%s is %s, and only raw can be cloned", url, image_meta.get("disk_format"))
            return False
        report = self._run(lambda store: store.cloneable(at))
        if not report["cloneable"]:
            LOG.debug("%s cannot be cloned: %s", url, report["detail"])
        return report["cloneable"]

    def clone(self, image_location: Mapping[str, Any], dest_name: str, dest_pool: Optional[str] = None) -> None:
        """Makes a volume that shares the data of a location."""
        at = names.quoted(*names.location(image_location["url"]))
        try:
            self._run(lambda store: store.clone(at, self._spec(dest_name, dest_pool)))
        except rbd.PermissionError as error:
            raise exception.Forbidden(str(error)) from error

    def size(self, name: str) -> int:
        """A volume's size in bytes."""
        return self._run(lambda store: store.size(self._spec(name)))

    def resize(self, name: str, size: int) -> None:
        """Grows a volume; shrinks it only where that was asked for when Volary was put in place."""
        self._run(lambda store: store.resize(self._spec(name), size, allow_shrink=self.allow_shrink))

    def parent_info(self, volume: str, pool: Optional[str] = None) -> tuple[str, str, str]:
        """Pool, image and snapshot that a clone is made of; ``ImageUnacceptable`` for what is no clone."""
        parent = self._run(lambda store: store.parent(self._spec(str(volume), pool)))
        if parent is None:
            raise exception.ImageUnacceptable(image_id=volume, reason="it is no clone")
        *where, image = parent["volume"].split("/")
        return names.plain(where[0]), names.plain(image), names.plain(parent["snapshot"])

    def flatten(self, volume: str, pool: Optional[str] = None) -> None:
        """Parts a clone from its parent."""
        self._run(lambda store: store.flatten(self._spec(str(volume), pool)))

    def exists(self, name: str, pool: Optional[str] = None, snapshot: Optional[str] = None) -> bool:
        """Whether a volume, or a snapshot of it, is there."""
        return self._run(lambda store: store.exists(self._spec(name, pool, snapshot)))

    def remove_image(self, name: str) -> None:
        """Removes a volume without waiting for those who hold it; one that is not there is fine."""
        report = self._run(lambda store: store.remove(self._spec(name), if_exists=True, wait=0))
        if report["outcome"] == "absent":
            LOG.warning("%s was not there to be removed", report["volume"])

    def import_image(self, base: str, name: str) -> None:
        """Makes a volume of a raw file: it appears whole and checked, or not at all."""
        try:
            self._run(lambda store: store.import_image(base, self._spec(name), format="raw"))
        except rbd.OSError as error:
            if isinstance(error.__cause__, (volary.RefusedError, volary.SourceChangedError)):
                raise exception.ImageUnacceptable(image_id=base, reason=str(error)) from error
            raise

    def export_image(self, base: str, name: str, snap: str, pool: Optional[str] = None) -> None:
        """Writes a snapshot into a file that is not there yet: it appears whole and synced, or not at all."""
        spec, accept = self._spec(name, pool, snap), self.accept_mismatch
        self._run(lambda store: store.export_image(spec, base, accept_mismatch=accept))
        # Only its owner could read it, but Nova's files are read by others too.
        os.chmod(base, 0o666 & ~_umask())

    def create_snap(self, volume: str, name: str, pool: Optional[str] = None, protect: bool = False) -> None:
        """Makes a snapshot; if it cannot be protected as asked, there is none."""
        self._run(lambda store: store.create_snapshot(self._spec(str(volume), pool, name), protect=protect))

    def remove_snap(
        self,
        volume: str,
        name: str,
        ignore_errors: bool = False,
        pool: Optional[str] = None,
        force: bool = False,
    ) -> None:
        """Removes a snapshot, a protected one only by ``force``; one that is not there is fine."""
        spec = self._spec(str(volume), pool, name)

        def work(store):
            if store.exists(spec):
                store.remove_snapshot(spec, force=force)
                return True
            # The volume has to be there.
            store.size(self._spec(str(volume), pool))
            return False

        try:
            removed = self._run(work)
        except rbd.ImageHasSnapshots as error:
            # What holds it back is of the snapshot, not of the volume.
            raise rbd.ImageBusy(str(error), errno=16) from error
        if not removed and not ignore_errors:
            LOG.warning("the snapshot %s was not there to be removed", spec)

    def rollback_to_snap(self, volume: str, name: str) -> None:
        """Sets a volume back to a snapshot; ``SnapshotNotFound`` if there is none of that name."""
        spec = self._spec(volume, snapshot=name)

        def work(store):
            if store.exists(spec):
                store.rollback(spec)
                return True
            store.size(self._spec(volume))
            return False

        if not self._run(work):
            raise exception.SnapshotNotFound(snapshot_id=name)

    def cleanup_volumes(self, filter_fn: Callable[[str], bool]) -> None:
        """Removes the volumes of the pool whose names ``filter_fn`` accepts, side by side.

        Each is tried, whatever becomes of the others; what could not be removed is in the journal, and the first reason is
        raised.
        """
        listed = self._run(lambda store: store.volumes(names.escaped(self.pool)))
        found = [names.plain(of["volume"].rsplit("/", 1)[1]) for of in listed]
        self._destroy(list(filter(filter_fn, found)), self.pool)

    def destroy_volume(self, volume: str, pool: Optional[str] = None) -> None:
        """Removes a volume with its ``nova-resize`` snapshot; what cannot be removed is raised and left in the journal."""
        self._destroy([volume], pool or self.pool)

    def _destroy(self, volumes, pool):
        options = CONF.libvirt
        wait = options.rbd_destroy_volume_retries * options.rbd_destroy_volume_retry_interval
        specs = [self._spec(volume, pool) for volume in volumes]

        def work(store):
            left = _remaining(store, specs, wait=wait)
            with_resize = [spec for spec in left if _only_resize(store, spec)]
            gone = set(with_resize) - set(_remaining(store, with_resize, purge_snapshots=True, wait=wait))
            remaining, left = [spec for spec in left if spec not in gone], []
            for spec in remaining:
                try:
                    # Again, for the reason, and for the journal to keep the order.
                    store.remove(spec, if_exists=True, retry_later=True, purge_snapshots=spec in with_resize, wait=0)
                except volary.Error as error:
                    LOG.error("%s was not removed: %s", spec, error)
                    left.append(error)
            if left:
                raise left[0]

        self._run(work)

    def get_pool_info(self) -> dict[str, int]:
        """What the pool has in all, free and used, each in bytes that can be stored."""
        pool = names.escaped(self.pool)
        try:
            info = hub.aside(lambda: _connected(self._url()).pool_info(pool))
        except volary.NotFoundError as error:
            raise exception.NotFound(str(error)) from error
        except volary.Error as error:
            raise exception.StorageError(reason=str(error)) from error
        return {"total": info["total_bytes"], "free": info["available_bytes"], "used": info["used_bytes"]}


def _remaining(store, specs, **options):
    """Removes volumes side by side; those that are left."""
    reports = store.cleanup(specs, if_exists=True, **options) if specs else []
    outcomes = zip(specs, reports)
    return [spec for spec, report in outcomes if report["outcome"] not in ("removed", "absent", "deferred")]


def _only_resize(store, spec):
    try:
        return [of["name"] for of in store.snapshots(spec)] == [RESIZE_SNAPSHOT_NAME]
    except volary.NotFoundError:
        return False


def _umask():
    with open("/proc/self/status", encoding="ascii") as status:
        found = [line.split()[1] for line in status if line.startswith("Umask:")]
    return int(found[0], 8)


class RBDVolumeProxy:
    """A volume or snapshot that is there, with the methods of ``rbd.Image`` that Nova's driver calls."""

    def __new__(cls, driver, *arguments, **options):
        # A driver of Nova's own, made before this class took the place of its proxy.
        if not isinstance(driver, RBDDriver):
            return theirs("RBDVolumeProxy")(driver, *arguments, **options)
        return super().__new__(cls)

    def __init__(self, driver, name, pool=None, snapshot=None, read_only=False):
        if not driver.exists(name, pool=pool, snapshot=snapshot):
            raise rbd.ImageNotFound(f"no such volume or snapshot: {driver._spec(name, pool, snapshot)}", errno=2)
        self.driver, self.name, self.pool, self.snapshot = driver, name, pool or driver.pool, snapshot
        self.read_only = read_only or snapshot is not None

    def __enter__(self):
        return self

    def __exit__(self, type_, value, traceback):
        self.close()

    def _ask(self, method, snapshot=None, **options):
        spec = self.driver._spec(self.name, self.pool, snapshot)
        return self.driver._run(lambda store: getattr(store, method)(spec, **options))

    def _change(self, method, snapshot=None, **options):
        if self.read_only:
            raise rbd.ReadOnlyImage(f"{self.name} is open to read only", errno=30)
        return self._ask(method, snapshot, **options)

    def close(self):
        """Nothing is held open between calls."""

    def size(self):
        return self._ask("size", self.snapshot)

    def resize(self, size, allow_shrink=None):
        allow_shrink = self.driver.allow_shrink if allow_shrink is None else allow_shrink
        self._change("resize", size_bytes=size, allow_shrink=allow_shrink)

    def parent_info(self):
        try:
            return self.driver.parent_info(self.name, pool=self.pool)
        except exception.ImageUnacceptable as error:
            raise rbd.ImageNotFound(str(error), errno=2) from error

    def flatten(self):
        self._change("flatten")

    def list_snaps(self):
        for of in self._ask("snapshots"):
            yield {"name": names.plain(of["name"]), "size": of["size_bytes"]}

    def create_snap(self, name):
        self._change("create_snapshot", name)

    def remove_snap(self, name):
        self._change("remove_snapshot", name)

    def protect_snap(self, name):
        self._change("protect_snapshot", name)

    def unprotect_snap(self, name):
        self._change("unprotect_snapshot", name)

    def is_protected_snap(self, name):
        for of in self._ask("snapshots"):
            if names.plain(of["name"]) == name:
                return of["protected"]
        raise rbd.ImageNotFound(f"no such snapshot: {name}", errno=2)

    def rollback_to_snap(self, name):
        self._change("rollback", name)


class RADOSClient:
    """The cluster, as far as Nova asks it for something."""

    def __new__(cls, driver, *arguments, **options):
        if not isinstance(driver, RBDDriver):
            return theirs("RADOSClient")(driver, *arguments, **options)
        return super().__new__(cls)

    def __init__(self, driver, pool=None):
        self.driver = driver
        self.pool = pool or driver.pool
        self.cluster = self

    def __enter__(self):
        return self

    def __exit__(self, type_, value, traceback):
        """The connection stays for the next."""

    def get_fsid(self):
        return self.driver.get_fsid()
