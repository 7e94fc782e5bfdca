"""Where the tests' stores are: a directory, or a namespace of its own on the cluster of VOLARY_TEST_CEPH_CONF."""

import os
import tempfile
import unittest
import uuid

import volary

MIB = 1 << 20


class StoreTest(unittest.TestCase):
    """A store, ``self.store``, and a namespace in it that nobody else uses, ``self.place``."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="volary-python-")
        self.addCleanup(__import__("shutil").rmtree, self.dir)
        conf = os.environ.get("VOLARY_TEST_CEPH_CONF")
        self.url = f"ceph:{conf}" if conf else f"local:{self.dir}/store"
        self.store = volary.Store(self.url)
        self.addCleanup(self.store.close)
        self.place = f"rbd/python-{uuid.uuid4().hex[:12]}"
        self.store.create_namespace(self.place)

    def spec(self, volume):
        return f"{self.place}/{volume}"

    def raw(self, name, mib, filled=None):
        """A raw image: ``filled`` MiB of chance, the rest zeros."""
        path = os.path.join(self.dir, name)
        with open(path, "wb") as file:
            for _ in range(mib if filled is None else filled):
                file.write(os.urandom(MIB))
            file.truncate(mib * MIB)
        return path
