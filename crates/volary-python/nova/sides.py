"""Nova's class and ours, each on a pool of its own, asked the same things; what each answers and what it leaves, compared."""

import hashlib
import os
import shutil
import tempfile
import unittest
import uuid

import eventlet

eventlet.monkey_patch()

import nova.conf
import rados
import rbd
from nova.storage import rbd_utils
from oslo_concurrency import processutils

import volary.nova

MIB = 1 << 20
CONF = nova.conf.CONF
CEPH_CONF = os.environ["VOLARY_TEST_CEPH_CONF"]
THEIRS = {name: getattr(rbd_utils, name) for name in ("RBDDriver", "RBDVolumeProxy", "RADOSClient")}

CONF([], project="nova", default_config_files=[])
CONF.set_override("images_rbd_ceph_conf", CEPH_CONF, "libvirt")
CONF.set_override("rbd_destroy_volume_retries", 2, "libvirt")
CONF.set_override("rbd_destroy_volume_retry_interval", 1, "libvirt")

volary.nova.install()
OURS = {name: getattr(rbd_utils, name) for name in THEIRS}


class Side:
    """One of the two: its driver, on two pools that nobody else uses."""

    def __init__(self, name, classes, cluster):
        self.name = name
        self.pool, self.images = (f"nova-{name}-{kind}-{uuid.uuid4().hex[:8]}" for kind in ("vms", "images"))
        self.cluster = cluster
        self.ioctx = {}
        for pool in (self.pool, self.images):
            cluster.create_pool(pool)
            self.ioctx[pool] = cluster.open_ioctx(pool)
            self.ioctx[pool].application_enable("rbd")
            rbd.RBD().pool_init(self.ioctx[pool], True)
        self.classes = classes
        self.driver = classes["RBDDriver"](pool=self.pool)

    def close(self):
        for pool, ioctx in self.ioctx.items():
            ioctx.close()
            self.cluster.delete_pool(pool)

    def neutral(self, value):
        """Without what is this side's alone."""
        if isinstance(value, (list, tuple)):
            return [self.neutral(one) for one in value]
        if isinstance(value, str):
            return value.replace(self.pool, "VMS").replace(self.images, "IMAGES")
        return value

    def ask(self, method, *arguments, **options):
        """What a method answers, or the class of what it raises; the names VMS and IMAGES stand for the side's pools."""

        def here(value):
            if isinstance(value, dict):
                return {key: here(one) for key, one in value.items()}
            if isinstance(value, str):
                return value.replace("VMS", self.pool).replace("IMAGES", self.images).replace("SIDE", self.name)
            return value

        try:
            of = getattr(self.driver, method)
            return self.neutral(of(*map(here, arguments), **{key: here(value) for key, value in options.items()}))
        except processutils.ProcessExecutionError as error:
            self.raised = error
            return "raised program"
        except Exception as error:
            self.raised = error
            return f"raised {type(error).__module__}.{type(error).__name__}"

    def write(self, name, offset, data, pool=None):
        with rbd.Image(self.ioctx[pool or self.pool], name) as image:
            image.write(data, offset)

    def state(self):
        """Everything that is in the side's pools, trash included."""
        state = {}
        for pool, ioctx in self.ioctx.items():
            label = self.neutral(pool)
            for name in rbd.RBD().list(ioctx):
                state[f"{label}/{name}"] = self._volume(ioctx, name)
            state[f"{label} trash"] = [of["name"] for of in rbd.RBD().trash_list(ioctx)]
        return state

    def volume(self, name):
        """One volume of its pool."""
        return self._volume(self.ioctx[self.pool], name)

    def _volume(self, ioctx, name):
        with rbd.Image(ioctx, name, read_only=True) as image:
            of = {"size": image.size(), "digest": digest(image), "snapshots": []}
            try:
                of["parent"] = self.neutral(image.parent_info())
            except rbd.ImageNotFound:
                of["parent"] = None
            of["features"], of["order"] = image.features() & ~rbd.RBD_FEATURE_OPERATIONS, image.stat()["order"]
            snapshots = [snapshot["name"] for snapshot in image.list_snaps()]
            protected = {snapshot: image.is_protected_snap(snapshot) for snapshot in snapshots}
        for snapshot in snapshots:
            with rbd.Image(ioctx, name, snapshot=snapshot, read_only=True) as image:
                of["snapshots"].append((snapshot, image.size(), protected[snapshot], digest(image)))
        return of


def digest(image):
    found = hashlib.sha256()
    for offset in range(0, image.size(), 4 * MIB):
        found.update(image.read(offset, min(4 * MIB, image.size() - offset)))
    return found.hexdigest()


class Differential(unittest.TestCase):
    """Both sides on one cluster."""

    def setUp(self):
        self.cluster = rados.Rados(conffile=CEPH_CONF)
        self.cluster.connect()
        self.addCleanup(self.cluster.shutdown)
        self.theirs = Side("theirs", THEIRS, self.cluster)
        self.addCleanup(self.theirs.close)
        self.ours = Side("ours", OURS, self.cluster)
        self.addCleanup(self.ours.close)
        self.dir = tempfile.mkdtemp(prefix="volary-nova-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.files = 0

    def file(self, content=None):
        """The path of a file for each side, that has this content or is not there yet; SIDE in it stands for the side."""
        self.files += 1
        path = os.path.join(self.dir, f"SIDE-{self.files}")
        for side in (self.theirs, self.ours):
            if content is not None:
                with open(path.replace("SIDE", side.name), "wb") as file:
                    file.write(content)
        return path

    def both(self, method, *arguments, **options):
        """What both answer, when it is the same, and what they leave is too."""
        theirs = self.theirs.ask(method, *arguments, **options)
        ours = self.ours.ask(method, *arguments, **options)
        self.assertEqual(theirs, ours, (method, arguments, options, getattr(self.ours, "raised", None)))
        self.same_state((method, arguments, options))
        return ours

    def differ(self, theirs, ours, method, *arguments, **options):
        """Each answers as the table of differences says, and what they leave is compared by whoever calls this."""
        self.assertEqual(self.theirs.ask(method, *arguments, **options), theirs, (method, arguments))
        self.assertEqual(
            self.ours.ask(method, *arguments, **options), ours, (method, arguments, getattr(self.ours, "raised", None))
        )

    def same_state(self, after):
        self.assertEqual(self.theirs.state(), self.ours.state(), after)

    def read(self, path):
        """What both files hold, when it is the same."""
        contents = []
        for side in (self.theirs, self.ours):
            with open(path.replace("SIDE", side.name), "rb") as file:
                contents.append(file.read())
        self.assertEqual(*contents)
        return contents[0]

    def each(self, work):
        for side in (self.theirs, self.ours):
            work(side)
