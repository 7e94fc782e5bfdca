"""Every operation from Python: its answer, its types, its exceptions."""

import hashlib
import os
import pathlib
import pickle
import struct
import typing
import unittest

import volary
from stores import MIB, StoreTest
from volary import reports


def of_type(value, kind):
    """Fails unless a value is what a type of ``volary.reports`` says, keys and all."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        assert isinstance(value, dict) and value.keys() == hints.keys(), (kind, value)
        for key, hint in hints.items():
            of_type(value[key], hint)
    elif origin is list:
        assert isinstance(value, list), (kind, value)
        for item in value:
            of_type(item, arguments[0])
    elif origin is dict:
        for item in value.values():
            of_type(item, arguments[1])
    elif origin is typing.Union:
        for choice in arguments:
            try:
                return of_type(value, choice)
            except AssertionError:
                pass
        raise AssertionError((kind, value))
    elif origin is typing.Literal:
        assert value in arguments, (kind, value)
    else:
        assert isinstance(value, kind), (kind, value)


class Operations(StoreTest):
    def test_a_life_of_a_volume(self):
        store, base, web = self.store, self.spec("base"), self.spec("web")
        path = self.raw("disk.raw", 12, filled=5)
        plan = store.import_image(path, base, dry_run=True)
        of_type(plan, reports.ImportPlan)
        self.assertFalse(store.exists(base))

        seen = []
        report = store.import_image(
            pathlib.Path(path), base, format="raw", snapshot="golden", protect=True,
            source_digest="sha256", progress=lambda *told: seen.append(told),
        )
        of_type(report, reports.ImportReport)
        with open(path, "rb") as file:
            self.assertEqual(report["source"]["sha256"], hashlib.sha256(file.read()).hexdigest())
        self.assertTrue(report["verified"])
        for phase, done, total in seen:
            self.assertIn(phase, ("copy", "verify"))
            self.assertTrue(total is None or done <= total, (done, total))

        of_type(store.verify(base + "@golden"), reports.VerifyReport)
        of_type(store.clone(base + "@golden", web), reports.CloneReport)
        of_type(store.children(base), list[reports.ChildListing])
        of_type(store.parent(web), reports.ParentReport)
        self.assertIsNone(store.parent(base))
        of_type(store.info(web), reports.VolumeInfo)
        of_type(store.usage(base), list[reports.UsageReport])
        of_type(store.usage_of_all(self.place), list[reports.UsageReport])
        self.assertEqual(store.size(web), 12 * MIB)
        of_type(store.resize(web, 16 * MIB), reports.ResizeReport)
        with self.assertRaises(volary.BlockedError) as caught:
            store.remove(base, wait=0)
        of_type(caught.exception.report, reports.RemoveReport)
        self.assertEqual(caught.exception.report["outcome"], "blocked")
        plan = store.remove(base, dry_run=True)
        of_type(plan, reports.RemoveReport)
        self.assertEqual(plan["outcome"], "blocked")

        of_type(store.create_snapshot(web + "@a"), reports.SnapshotReport)
        of_type(store.rename_snapshot(web + "@a", "b"), reports.SnapshotReport)
        of_type(store.snapshots(web), list[reports.SnapshotListing])
        of_type(store.protect_snapshot(web + "@b"), reports.SnapshotReport)
        of_type(store.unprotect_snapshot(web + "@b"), reports.SnapshotReport)
        of_type(store.rollback(web + "@b"), reports.SnapshotReport)
        of_type(store.remove_snapshot(web + "@b", dry_run=True), reports.SnapshotOutcome)
        of_type(store.purge_snapshots(web), list[reports.SnapshotOutcome])
        of_type(store.flatten(web), reports.FlattenReport)
        self.assertIsNone(store.parent(web))

        out = os.path.join(self.dir, "out.raw")
        of_type(store.export_image(base, out, digest="sha256"), reports.ExportReport)
        with open(path, "rb") as put, open(out, "rb") as got:
            self.assertEqual(put.read(), got.read())
        with self.assertRaises(volary.AlreadyExistsError):
            store.export_image(base, out)
        copied = store.copy(base, self.spec("copy"), accept_mismatch=True)
        of_type(copied, reports.CopyReport)
        self.assertEqual((copied["match"], copied["mismatch_accepted"]), (True, False))
        of_type(store.rename(self.spec("copy"), self.spec("copied")), reports.RenameReport)
        of_type(store.volumes(self.place), list[reports.VolumeListing])
        of_type(store.volumes(self.place, details=True), list[reports.VolumeDetails])
        self.assertEqual(store.matching("co*", self.place), [self.spec("copied")])
        of_type(store.remove_snapshot(base + "@golden", force=True), reports.SnapshotOutcome)
        removed = store.cleanup([base, web, self.spec("copied"), self.spec("none")], if_exists=True)
        of_type(removed, list[reports.RemoveReport])
        self.assertEqual([one["outcome"] for one in removed], ["removed"] * 3 + ["absent"])
        self.assertEqual(store.volumes(self.place), [])
        self.assertEqual(store.pending(self.place), [])

    def test_the_store_itself(self):
        store = self.store
        of_type(store.status(), reports.StatusReport)
        self.assertEqual(store.fsid(), store.status()["id"])
        self.assertIn("rbd", store.pools())
        of_type(store.pool_info(), reports.PoolInfo)
        self.assertIn(self.place, store.namespaces())
        of_type(volary.doctor(self.url), reports.DoctorReport)
        if self.url.startswith("local:"):
            store.create_pool("ssd")
            self.assertIn("ssd", store.pools())
            self.assertRaises(volary.UnsupportedError, store.monitors)
        else:
            of_type(store.monitors(), list[reports.Monitor])
        store.remove_namespace(self.place)
        self.assertNotIn(self.place, store.namespaces())

    def test_trash_and_journal(self):
        store, spec = self.store, self.spec("web")
        store.create(spec, MIB)
        moved = store.trash_move(spec, defer=3600)
        of_type(moved, reports.TrashMoveReport)
        by_id = f"{self.place}/id:{moved['id']}"
        of_type(store.trash(self.place), list[reports.TrashListing])
        self.assertRaises(volary.BlockedError, store.trash_remove, by_id)
        of_type(store.trash_restore(by_id, "back"), reports.RestoreReport)
        of_type(store.remove(self.spec("back"), defer=0), reports.RemoveReport)
        of_type(store.trash_purge(self.place, dry_run=True), list[reports.RemoveReport])
        of_type(store.trash_purge(self.place), list[reports.RemoveReport])
        self.assertEqual(store.trash(self.place), [])

        store.create(spec, MIB)
        store.create_snapshot(spec + "@kept", protect=True)
        with self.assertRaises(volary.PartialError):
            store.remove(spec, retry_later=True, purge_snapshots=True, wait=0)
        (left,) = store.pending(self.place)
        of_type(left, reports.PendingListing)
        self.assertEqual(store.pending_record(left["id"], self.place)["record"]["operation"], left["operation"])
        (reaped,) = store.reap(self.place, wait=0)
        of_type(reaped, reports.ReapReport)
        self.assertEqual(reaped["outcome"], "pending")
        self.assertTrue(store.forget(left["id"], self.place))
        self.assertFalse(store.forget(left["id"], self.place))
        of_type(store.orphans(["web"], self.place), list[reports.Orphan])
        checked = store.check(self.place, read=True, pause=0.0)
        of_type(checked, reports.StoreCheckReport)
        self.assertEqual((checked["findings"], checked["complete"]), ([], True))

    def test_metadata_locks_and_who_holds_it(self):
        store, spec = self.store, self.spec("web")
        of_type(store.create(spec, MIB), reports.CreateReport)
        store.set_metadata(spec, "owner", "alice")
        self.assertEqual(store.get_metadata(spec, "owner"), "alice")
        self.assertIn({"key": "owner", "value": "alice"}, store.metadata(spec))
        store.remove_metadata(spec, "owner")
        self.assertRaises(volary.NotFoundError, store.get_metadata, spec, "owner")
        lock = store.add_lock(spec, "moving")
        of_type(lock, reports.LockReport)
        of_type(store.locks(spec), list[reports.Locker])
        why = store.why(spec)
        of_type(why, reports.WhyReport)
        self.assertIn("lock", str(why))
        if self.url.startswith("local:"):
            of_type(store.break_lock(spec, "moving", lock["client"]), reports.LockReport)

    def test_locations(self):
        store = self.store
        missing = f"rbd://{store.fsid()}/rbd/python-none/snap"
        report = store.cloneable(missing)
        of_type(report, reports.CloneableReport)
        self.assertEqual((report["cloneable"], report["reason"]), (False, "not_found"))
        self.assertRaises(volary.UsageError, store.cloneable, "file:///etc/passwd")


class Exceptions(StoreTest):
    def test_s02_an_exception_says_kind_context_hint_and_exit_code(self):
        with self.assertRaises(volary.NotFoundError) as caught:
            self.store.info(self.spec("none"))
        error = caught.exception
        self.assertIsInstance(error, volary.Error)
        self.assertEqual((error.kind, error.exit_code), ("not_found", 3))
        self.assertEqual(error.context["volume"], self.spec("none"))
        self.assertIn("volary ls", error.hint)
        self.assertIn("no such volume", str(error))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.context), (type(error), error.context))

    def test_every_kind_has_a_class_of_its_own(self):
        classes = [one for one in vars(volary).values() if isinstance(one, type) and issubclass(one, volary.Error)]
        kinds = [one.kind for one in classes if one is not volary.Error]
        self.assertEqual(sorted(kinds), sorted(typing.get_args(reports.ErrorKind)))

    def test_wrong_arguments_are_refused_before_anything_is_done(self):
        store, path = self.store, self.raw("disk.raw", 1)
        self.assertRaises(volary.UsageError, store.create, "a/b/c/d", MIB)
        self.assertRaises(volary.UsageError, store.import_image, path, self.spec("web"), format="tape")
        self.assertRaises(volary.UsageError, store.import_image, path, self.spec("web"), checksum="sha256:1")
        self.assertRaises(TypeError, store.remove, self.spec("web"), forec=True)
        self.assertRaises(ValueError, volary.Store, self.url, timeout=-1)
        self.assertRaises(volary.UsageError, volary.Store, "ftp:there")

    def test_s06_a_refused_image_makes_no_volume(self):
        path = os.path.join(self.dir, "bad.qcow2")
        with open(path, "wb") as file:
            file.write(b"QFI\xfb" + bytes(4096))
        self.assertRaises(volary.RefusedError, self.store.import_image, path, self.spec("web"))
        self.assertEqual(self.store.volumes(self.place), [])
        report = volary.inspect(path, allow_nested=True)
        self.assertEqual((report["safe"], report["reason"]), (False, "unknown_feature"))
        of_type(report, reports.InspectReport)

    def test_s06_a_disk_that_begins_as_an_image_is_made_only_when_allowed(self):
        path, cluster = os.path.join(self.dir, "nested.qcow2"), 1 << 16
        header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, MIB, 0, 1, cluster, 4 * cluster, 1, 0, 0)
        # The L1 table, the L2 table, the disk's first bytes, the refcount table.
        clusters = header, struct.pack(">Q", 2 * cluster), struct.pack(">Q", 3 * cluster), b"KDMV", b""
        with open(path, "wb") as file:
            file.write(b"".join(part.ljust(cluster, b"\0") for part in clusters))
        with self.assertRaises(volary.RefusedError) as caught:
            self.store.import_image(path, self.spec("web"))
        self.assertEqual(caught.exception.context["reason"], "nested_header")
        self.assertEqual(volary.inspect(path)["reason"], "nested_header")
        self.assertTrue(volary.inspect(path, allow_nested=True)["safe"])
        self.assertTrue(self.store.import_image(path, self.spec("web"), allow_nested=True)["verified"])

    def test_s09_what_changed_since_is_a_mismatch(self):
        path, spec = self.raw("disk.raw", 2), self.spec("web")
        with self.assertRaises(volary.MismatchError):
            self.store.import_image(path, spec, checksum="sha256:" + "0" * 64)
        self.store.import_image(path, spec)
        self.store.resize(spec, 4 * MIB)
        with self.assertRaises(volary.MismatchError) as caught:
            self.store.verify(spec)
        of_type(caught.exception.report, reports.VerifyReport)


if __name__ == "__main__":
    unittest.main()
