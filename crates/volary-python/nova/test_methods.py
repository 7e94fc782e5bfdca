"""Every public method of Nova's driver, with what it is given in Nova and at its edges; the differences are docs/nova.md's."""

import inspect
import json
import os
import pathlib
import re
import time
import unittest

import eventlet
import rbd
from sides import CEPH_CONF, CONF, MIB, OURS, THEIRS, Differential

import volary

RAW, BUSY, HAS_SNAPSHOTS = {"disk_format": "raw"}, "raised rbd.ImageBusy", "raised rbd.ImageHasSnapshots"
NOT_FOUND, UNACCEPTABLE = "raised rbd.ImageNotFound", "raised nova.exception.ImageUnacceptable"
NO_POOL, PROGRAM = "raised rados.ObjectNotFound", "raised program"


def arguments(method):
    """The arguments with what they are by default; only ours tell their types."""
    return [(of.name, of.kind, of.default) for of in inspect.signature(method).parameters.values()]


class Methods(Differential):
    def setUp(self):
        super().setUp()
        self.fsid = self.cluster.get_fsid()
        self.content = os.urandom(5 * MIB) + bytes(3 * MIB)
        self.both("import_image", self.file(self.content), "base")

    def at(self, snapshot, volume="base", pool="VMS"):
        return {"url": f"rbd://{self.fsid}/{pool}/{volume}/{snapshot}"}

    def test_there_is_every_method_with_the_same_arguments(self):
        for name, theirs in THEIRS.items():
            public = {of: method for of, method in vars(theirs).items() if not of.startswith("_")}
            for of, method in public.items():
                if callable(method):
                    self.assertEqual(arguments(method), arguments(getattr(OURS[name], of)), f"{name}.{of}")
        theirs, ours = (classes["RBDDriver"].__init__ for classes in (THEIRS, OURS))
        self.assertEqual(arguments(theirs), arguments(ours))

    def test_what_the_cluster_is(self):
        self.assertEqual(self.both("get_fsid"), self.fsid)
        self.both("get_mon_addrs")
        self.both("get_mon_addrs", strip_brackets=False)
        self.both("ceph_args")
        # A pool that was just made has no figures yet.
        limit = time.monotonic() + 60
        while isinstance(self.ours.ask("get_pool_info"), str) and time.monotonic() < limit:
            eventlet.sleep(0.2)
        theirs, ours = self.theirs.ask("get_pool_info"), self.ours.ask("get_pool_info")
        self.assertEqual(theirs.keys(), ours.keys())
        # Net and of the pool, where Nova's total is raw and of the cluster.
        self.assertEqual(ours["total"], ours["free"] + ours["used"])
        self.each(lambda side: setattr(side.driver, "pool", "nobodys-pool"))
        self.both_raise("raised nova.exception.NotFound", "get_pool_info")

    def both_raise(self, raised, method, *arguments, **options):
        self.assertEqual(self.both(method, *arguments, **options), raised)

    def test_the_constructor_reads_novas_options(self):
        with_all = [side.classes["RBDDriver"]("pool", "user", "/conf", 7) for side in (self.theirs, self.ours)]
        for of in ("pool", "rbd_user", "ceph_conf", "rbd_connect_timeout"):
            self.assertEqual(*(getattr(driver, of) for driver in with_all))
        self.assertEqual(*(driver.ceph_args() for driver in with_all))
        CONF.set_override("images_rbd_pool", "of-the-options", "libvirt")
        self.addCleanup(CONF.clear_override, "images_rbd_pool", "libvirt")
        for of in ("pool", "rbd_user", "ceph_conf", "rbd_connect_timeout"):
            self.assertEqual(*(getattr(side.classes["RBDDriver"](), of) for side in (self.theirs, self.ours)))

    def test_parse_url(self):
        for url in ("http://a/b/c/d", "rbd://", "rbd://a/b/c", "rbd://a/b//d", "rbd://a/b/c/d/e", "rbd:/a/b/c/d", ""):
            self.both_raise(UNACCEPTABLE, "parse_url", url)
        for url in ("rbd://a/b/c/d", "rbd://a/b%20c/c%2Fd/%C3%A4", "rbd://a/%61/c%25/d@e"):
            self.assertEqual(len(self.both("parse_url", url)), 4)

    def test_exists_and_size(self):
        self.both("create_snap", "base", "snap")
        for name, snapshot in (("base", None), ("base", "snap"), ("base", "none"), ("none", None), ("none", "snap")):
            self.both("exists", name, snapshot=snapshot)
        self.assertEqual(self.both("exists", "base", pool="IMAGES"), False)
        self.both_raise(NO_POOL, "exists", "base", pool="nobodys-pool")
        self.assertEqual(self.both("size", "base"), 8 * MIB)
        self.both_raise(NOT_FOUND, "size", "none")

    def test_resize_grows_and_does_not_shrink_unless_told_to(self):
        self.both("resize", "base", 12 * MIB)
        self.both("resize", "base", 12 * MIB)
        self.both_raise(NOT_FOUND, "resize", "none", MIB)
        self.assertEqual(self.ours.ask("resize", "base", MIB), "raised rbd.InvalidArgument")
        self.same_state("a refused shrink")
        self.ours.driver.allow_shrink = True
        self.both("resize", "base", MIB)

    def test_import_image(self):
        for content in (b"\1" * 700, os.urandom(4 * MIB + 512), bytes(9 * MIB)):
            self.both("import_image", self.file(content), f"of-{len(content)}")
        self.differ(PROGRAM, "raised rbd.ImageExists", "import_image", self.file(b"x" * 512), "base")
        self.differ(PROGRAM, "raised rbd.ImageNotFound", "import_image", self.file(), "none")
        self.differ(PROGRAM, UNACCEPTABLE, "import_image", self.file(b""), "none")
        self.same_state("refused imports")
        # A format that the guest could choose by what it writes into its disk is not taken for a raw disk.
        self.differ(None, UNACCEPTABLE, "import_image", self.file(b"QFI\xfb" + bytes(4 * MIB)), "other")
        self.assertFalse(self.ours.ask("exists", "other"))

    def test_export_image(self):
        self.both("create_snap", "base", "snap")
        self.each(lambda side: side.write("base", 0, b"later"))
        path = self.file()
        self.both("export_image", path, "base", "snap")
        self.assertEqual(self.read(path), self.content)
        modes = {os.stat(path.replace("SIDE", side.name)).st_mode for side in (self.theirs, self.ours)}
        self.assertEqual(len(modes), 1)
        self.differ(PROGRAM, "raised rbd.ImageExists", "export_image", path, "base", "snap")
        self.differ(PROGRAM, NOT_FOUND, "export_image", self.file(), "base", "none")
        self.differ(PROGRAM, NOT_FOUND, "export_image", self.file(), "none", "snap", pool="IMAGES")

    def test_snapshots(self):
        self.both("create_snap", "base", "a", protect=True)
        self.both("create_snap", "base", "b")
        self.both_raise("raised rbd.ImageExists", "create_snap", "base", "a")
        self.both_raise(NOT_FOUND, "create_snap", "none", "a")
        self.both_raise(NOT_FOUND, "create_snap", "base", "a", pool="IMAGES")
        self.each(lambda side: side.write("base", 0, b"later"))
        self.both("rollback_to_snap", "base", "b")
        self.both_raise("raised nova.exception.SnapshotNotFound", "rollback_to_snap", "base", "none")
        self.both_raise(NOT_FOUND, "rollback_to_snap", "none", "b")
        self.each(self.hold)
        self.differ(None, BUSY, "rollback_to_snap", "base", "b")
        self.each(self.release)
        self.both("remove_snap", "base", "b")
        self.both("remove_snap", "base", "b")
        self.both("remove_snap", "base", "b", ignore_errors=True)
        self.both_raise(NOT_FOUND, "remove_snap", "none", "b", ignore_errors=True)
        self.differ(None, BUSY, "remove_snap", "base", "a")
        self.both_raise(BUSY, "remove_snap", "base", "a", ignore_errors=True)
        self.both("clone", self.at("a"), "web")
        self.both_raise(BUSY, "remove_snap", "base", "a", force=True)
        self.both("flatten", "web")
        self.both("remove_snap", "base", "a", force=True)

    def test_snapshots_of_a_disk_that_an_instance_writes_to(self):
        self.each(self.hold)
        self.each(lambda side: side.held.write(b"running", 0))
        self.both("create_snap", "base", "snap", protect=True)
        self.each(lambda side: side.held.write(b"later", MIB))
        self.both("clone", self.at("snap"), "far", dest_pool="IMAGES")
        self.both("flatten", "far", pool="IMAGES")
        self.both("remove_snap", "base", "snap", force=True)
        self.both("create_snap", "base", "again")
        self.both("remove_snap", "base", "again")
        self.each(lambda side: side.held.write(b"still", 2 * MIB))
        self.each(self.release)
        self.same_state("a disk that was written to")

    def test_cloning(self):
        self.both("create_snap", "base", "snap", protect=True)
        self.both("create_snap", "base", "loose")
        for meta in (RAW, {"disk_format": "qcow2"}, {}):
            for location in (self.at("snap"), self.at("none"), self.at("snap", volume="none")):
                self.both("is_cloneable", location, meta)
            for url in ("rbd://another/VMS/base/snap", "http://there", "rbd://a/b"):
                self.assertFalse(self.both("is_cloneable", {"url": url}, meta))
        self.differ(True, False, "is_cloneable", self.at("loose"), RAW)
        self.differ(NO_POOL, False, "is_cloneable", self.at("snap", pool="nobodys-pool"), RAW)

        self.both("clone", self.at("snap"), "web")
        self.both("clone", self.at("snap"), "far", dest_pool="IMAGES")
        self.assertEqual(self.both("parent_info", "web"), ["VMS", "base", "snap"])
        self.assertEqual(self.both("parent_info", "far", pool="IMAGES"), ["VMS", "base", "snap"])
        self.both_raise(UNACCEPTABLE, "parent_info", "base")
        self.differ(UNACCEPTABLE, NOT_FOUND, "parent_info", "none")
        self.both_raise("raised rbd.ImageExists", "clone", self.at("snap"), "web")
        self.both_raise(NOT_FOUND, "clone", self.at("none"), "new")
        self.both_raise(NO_POOL, "clone", self.at("snap", pool="nobodys-pool"), "new")
        self.both_raise(NO_POOL, "clone", self.at("snap"), "new", dest_pool="nobodys-pool")
        self.both_raise(UNACCEPTABLE, "clone", {"url": "http://there"}, "new")
        self.differ("raised rbd.InvalidArgument", BUSY, "clone", self.at("loose"), "new")
        self.same_state("refused clones")
        # A snapshot of that name in this cluster is not what a location in another one means.
        self.differ(None, "raised rbd.InvalidArgument", "clone", {"url": "rbd://another/VMS/base/snap"}, "wrong")
        self.assertFalse(self.ours.ask("exists", "wrong"))
        self.theirs.ask("remove_image", "wrong")

        self.both("flatten", "web")
        self.both("flatten", "far", pool="IMAGES")
        self.both_raise("raised rbd.InvalidArgument", "flatten", "base")
        self.both_raise(NOT_FOUND, "flatten", "none")

    def test_a_user_without_the_right_to_write_is_forbidden(self):
        self.both("create_snap", "base", "snap", protect=True)
        for side in (self.theirs, self.ours):
            user = f"reader-{side.pool}"
            command = {
                "prefix": "auth get-or-create", "entity": f"client.{user}", "format": "plain",
                "caps": ["mon", "profile rbd", "osd", f"profile rbd pool={side.pool}, profile rbd-read-only pool={side.images}"],
            }
            code, keyring, _ = self.cluster.mon_command(json.dumps(command), b"")
            self.assertEqual(code, 0)
            conf = os.path.join(self.dir, f"{side.name}.conf")
            with open(CEPH_CONF) as of, open(conf, "w") as file:
                text = re.sub(r"(?m)^\s*keyring\s*=.*$", "", of.read())
                file.write(text.replace("[global]", f"[global]\nkeyring = {self.dir}/{side.name}.keyring"))
            with open(f"{self.dir}/{side.name}.keyring", "wb") as file:
                file.write(keyring)
            side.driver = side.classes["RBDDriver"](pool=side.pool, user=user, ceph_conf=conf)
        self.both_raise("raised nova.exception.Forbidden", "clone", self.at("snap"), "far", dest_pool="IMAGES")

    def test_remove_image(self):
        self.both("remove_image", "none")
        self.both("create_snap", "base", "snap")
        self.differ(None, HAS_SNAPSHOTS, "remove_image", "base")
        self.both("remove_snap", "base", "snap")
        self.each(self.hold)
        self.both_raise(BUSY, "remove_image", "base")
        self.each(self.release)
        self.both("remove_image", "base")

    def hold(self, side, name="base"):
        side.held = rbd.Image(side.ioctx[side.pool], name)

    def release(self, side):
        side.held.close()

    def pending(self):
        return volary.Store(f"ceph:{CEPH_CONF}").pending(self.ours.pool)

    def test_s02_destroy_volume_never_says_done_while_the_disk_is_there(self):
        self.both("create_snap", "base", "nova-resize")
        self.both("import_image", self.file(b"x" * MIB), "far")
        self.both("destroy_volume", "base")
        self.differ(NOT_FOUND, None, "destroy_volume", "base")

        self.both("create_snap", "far", "kept")
        self.differ(None, HAS_SNAPSHOTS, "destroy_volume", "far")
        self.same_state("a disk with a snapshot")
        self.differ(None, HAS_SNAPSHOTS, "destroy_volume", "far")
        (order,) = self.pending()
        self.assertEqual(order["volume"], f"{self.ours.pool}/far")
        self.both("remove_snap", "far", "kept")
        volary.Store(f"ceph:{CEPH_CONF}").reap(self.ours.pool, wait=0)
        self.assertFalse(self.ours.ask("exists", "far"))

    def test_s02_destroy_volume_of_a_disk_that_is_open_raises_and_is_recorded(self):
        self.each(self.hold)
        self.differ(None, BUSY, "destroy_volume", "base")
        self.assertEqual([of["volume"] for of in self.pending()], [f"{self.ours.pool}/base"])
        self.each(self.release)
        self.both("destroy_volume", "base")

    def test_destroy_volume_works_in_the_pool_it_is_given(self):
        self.both("create_snap", "base", "snap", protect=True)
        self.both("clone", self.at("snap"), "base", dest_pool="IMAGES")
        self.both("create_snap", "base", "nova-resize", pool="IMAGES")
        self.both("create_snap", "base", "nova-resize")
        # Nova's takes the snapshot of the volume of that name in the default pool, and returns.
        self.differ(None, None, "destroy_volume", "base", pool="IMAGES")
        self.assertFalse(self.ours.ask("exists", "base", pool="IMAGES"))
        self.assertTrue(self.ours.ask("exists", "base", snapshot="nova-resize"))

    def test_cleanup_volumes(self):
        for name in ("one_disk", "one_disk.rescue", "two_disk"):
            self.both("import_image", self.file(b"x" * MIB), name)
        self.both("create_snap", "one_disk", "nova-resize")
        self.both("cleanup_volumes", lambda name: name.startswith("one"))
        self.both("cleanup_volumes", lambda name: False)
        # One that cannot go does not keep the others, whatever their order.
        self.both("create_snap", "base", "snap", protect=True)
        self.assertEqual(self.ours.ask("cleanup_volumes", lambda name: True), HAS_SNAPSHOTS)
        self.assertEqual(list(self.ours.state()), ["VMS/base", "VMS trash", "IMAGES trash"])

    def test_the_proxies(self):
        self.both("create_snap", "base", "snap", protect=True)
        for side in (self.theirs, self.ours):
            with side.classes["RBDVolumeProxy"](side.driver, "base") as volume:
                self.assertEqual(volume.size(), 8 * MIB)
                self.assertEqual([(of["name"], of["size"]) for of in volume.list_snaps()], [("snap", 8 * MIB)])
                self.assertTrue(volume.is_protected_snap("snap"))
                volume.resize(9 * MIB)
                volume.create_snap("b")
                volume.rollback_to_snap("b")
                volume.protect_snap("b")
                volume.unprotect_snap("b")
                volume.remove_snap("b")
                self.assertRaises(rbd.ImageNotFound, volume.parent_info)
                self.assertRaises(rbd.ImageNotFound, volume.is_protected_snap, "b")
            with side.classes["RBDVolumeProxy"](side.driver, "base", snapshot="snap") as volume:
                self.assertEqual(volume.size(), 8 * MIB)
                self.assertRaises(rbd.ReadOnlyImage, volume.resize, MIB)
            with self.assertRaises(rbd.ImageNotFound):
                side.classes["RBDVolumeProxy"](side.driver, "none")
            with side.classes["RADOSClient"](side.driver) as client:
                self.assertEqual(client.cluster.get_fsid(), self.fsid)
        self.same_state("the proxies")


class Documentation(unittest.TestCase):
    def test_the_page_lists_every_method(self):
        page = (pathlib.Path(__file__).resolve().parents[3] / "docs/nova.md").read_text()
        for of, method in vars(THEIRS["RBDDriver"]).items():
            if not of.startswith("_") and callable(method):
                self.assertIn(f"| `{of}` |", page)


if __name__ == "__main__":
    unittest.main()
