"""Nova's own imagebackend.Rbd on top of ours: what Nova does with an instance's disk, from its first boot to its end."""

import os
import unittest
from unittest import mock

import rbd
from nova import exception
from nova.virt.libvirt import imagebackend
from sides import MIB, Differential


UUID = "2a7bd6b4-7f34-4d26-a0c3-07cbb8a6b2a3"


class Instance(dict):
    def __getattr__(self, name):
        return self[name]


class Backend(Differential):
    def setUp(self):
        super().setUp()
        self.fsid = self.cluster.get_fsid()
        self.content = os.urandom(4 * MIB)
        # What Glance has: a protected snapshot of an image in its own pool.
        for side in (self.theirs, self.ours):
            ioctx = side.ioctx[side.images]
            rbd.RBD().create(ioctx, "glance", 4 * MIB, old_format=False)
            side.write("glance", 0, self.content, pool=side.images)
            with rbd.Image(ioctx, "glance") as image:
                image.create_snap("snap")
                image.protect_snap("snap")

    def disk(self, side, name="disk"):
        """Nova's own backend of a disk, on this side's driver."""
        instance = Instance(uuid=UUID)
        with mock.patch.object(imagebackend.rbd_utils, "RBDDriver", lambda: side.driver):
            return imagebackend.Rbd(instance, name)

    def glance(self, side):
        url = f"rbd://{self.fsid}/{side.images}/glance/snap"
        return {"id": "1", "disk_format": "raw", "locations": [{"url": "http://elsewhere"}, {"url": url}]}

    def on_both(self, work):
        answers = []
        for side in (self.theirs, self.ours):
            with mock.patch.object(imagebackend.IMAGE_API, "get", lambda *a, **k: self.glance(side)):
                answers.append(side.neutral(work(side)))
        self.assertEqual(*answers)
        self.same_state("imagebackend")
        return answers[0]

    def test_the_life_of_a_disk_that_is_cloned(self):
        self.on_both(lambda side: self.disk(side).clone(None, "1"))
        self.assertTrue(self.on_both(lambda side: self.disk(side).exists()))
        self.on_both(lambda side: self.disk(side).resize_image(8 * MIB))
        self.assertEqual(self.on_both(lambda side: self.disk(side).get_disk_size(None)), 8 * MIB)
        name = self.disk(self.ours).rbd_name
        # A resize of the instance, reverted.
        self.on_both(lambda side: self.disk(side).create_snap("nova-resize"))
        self.each(lambda side: side.write(name, 4 * MIB, b"written since"))
        self.on_both(lambda side: self.disk(side).rollback_to_snap("nova-resize"))
        self.on_both(lambda side: self.disk(side).remove_snap("nova-resize", ignore_errors=True))
        # A snapshot of the instance, straight into Glance's pool.
        url = self.on_both(lambda side: self.disk(side).direct_snapshot(None, "of-disk", "raw", "new-image", "1"))
        self.assertEqual(url, f"rbd://{self.fsid}/IMAGES/new-image/snap")
        location = lambda side: {"url": f"rbd://{self.fsid}/{side.images}/new-image/snap"}
        self.on_both(lambda side: self.disk(side).cleanup_direct_snapshot(location(side), also_destroy_volume=True))
        # Unshelved, it must not depend on the image.
        self.on_both(lambda side: self.disk(side).flatten())
        self.on_both(lambda side: self.disk(side).flatten())
        self.on_both(lambda side: side.driver.cleanup_volumes(lambda disk: disk.startswith(UUID)))

    def test_the_life_of_a_disk_that_is_imported(self):
        base = self.file(self.content)
        fetched = []
        create = lambda side: self.disk(side).create_image(
            lambda target: fetched.append(target), base.replace("SIDE", side.name), 6 * MIB
        )
        with mock.patch.object(imagebackend.images, "qemu_img_info") as info, mock.patch.object(
            imagebackend.disk, "get_disk_size", return_value=4 * MIB
        ):
            info.return_value.file_format = "raw"
            self.on_both(create)
            self.on_both(create)
        self.assertEqual(len(fetched), 2)
        config = lambda side: self.disk(side, "disk.config").import_file(
            Instance(uuid=UUID), base.replace("SIDE", side.name), "disk.config"
        )
        self.on_both(config)
        self.on_both(config)
        # A rescue, cleaned up.
        self.on_both(lambda side: self.disk(side, "disk.rescue").clone(None, "1"))
        rescue = lambda disk: disk.startswith(UUID) and disk.endswith(".rescue")
        self.on_both(lambda side: side.driver.cleanup_volumes(rescue))
        self.assertIn(f"VMS/{UUID}_disk.config", self.ours.state())

    def test_what_libvirt_and_libguestfs_are_told(self):
        def model(side):
            return [f"{key} {value}" for key, value in sorted(vars(self.disk(side).get_model(None)).items())]

        self.on_both(model)

    def test_an_image_that_is_not_here_is_unacceptable(self):
        self.glance = lambda side: {"id": "1", "disk_format": "raw", "locations": [{"url": "rbd://a/b/c/d"}]}

        def clone(side):
            with self.assertRaises(exception.ImageUnacceptable):
                self.disk(side).clone(None, "1")

        self.on_both(clone)


if __name__ == "__main__":
    unittest.main()
