"""What a Nova service does around the driver: install, green threads, native threads, forks, and being killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import unittest

import eventlet
import rbd
from eventlet import patcher
from nova.storage import rbd_utils
from sides import CEPH_CONF, MIB, OURS, THEIRS, Differential

import volary
import volary.nova

threading = patcher.original("threading")

# A process that gives Nova's backend a cached base to import, as ours or as Nova's own.
CREATE = """
import sys
which, conf, pool, base = sys.argv[1:]
import volary.nova
if which == "ours":
    volary.nova.install()
import nova.conf
nova.conf.CONF([], project="nova", default_config_files=[])
for key, value in (("images_rbd_ceph_conf", conf), ("images_rbd_pool", pool)):
    nova.conf.CONF.set_override(key, value, "libvirt")
from nova.virt.libvirt import imagebackend
imagebackend.Rbd._remove_non_raw_cache_image = staticmethod(lambda base: None)
imagebackend.Rbd.verify_base_size = lambda self, base, size: None
disk = imagebackend.Rbd(path=pool + "/disk")
assert type(disk.driver).__module__.startswith("volary" if which == "ours" else "nova"), disk.driver
print("begun", flush=True)
disk.create_image(lambda target: None, base, 0)
print("done", flush=True)
"""


class Process(Differential):
    def setUp(self):
        super().setUp()
        self.driver = self.ours.driver

    def test_install_and_uninstall(self):
        self.assertIs(rbd_utils.RBDDriver, OURS["RBDDriver"])
        made_before = rbd_utils.RBDDriver(pool=self.ours.pool)
        volary.nova.uninstall()
        self.addCleanup(volary.nova.install)
        for name, theirs in THEIRS.items():
            self.assertIs(getattr(rbd_utils, name), theirs)
        self.assertEqual(rbd_utils.RBDDriver(pool=self.ours.pool).get_fsid(), made_before.get_fsid())
        volary.nova.install()
        volary.nova.install()
        self.assertIs(rbd_utils.RBDDriver, OURS["RBDDriver"])
        volary.nova.uninstall()
        self.assertIs(rbd_utils.RBDDriver, THEIRS["RBDDriver"])

    def test_installed_before_nova_is_loaded_it_is_there_once_it_is(self):
        code = (
            "import volary.nova, sys; volary.nova.install(); assert 'nova' not in sys.modules\n"
            "import eventlet; eventlet.monkey_patch()\n"
            "from nova.storage import rbd_utils; print(rbd_utils.RBDDriver.__module__)\n"
            "volary.nova.uninstall(); print(rbd_utils.RBDDriver.__module__)"
        )
        ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
        self.assertEqual(ended.stdout.split(), ["volary.nova.driver", "nova.storage.rbd_utils"], ended.stderr)

    def test_green_threads_go_on_while_the_driver_works(self):
        path = os.path.join(self.dir, "base")
        with open(path, "wb") as file:
            file.write(os.urandom(96 * MIB))
        worker, ticks = eventlet.spawn(self.driver.import_image, path, "disk"), 0
        while not worker.dead:
            ticks += 1
            eventlet.sleep(0.001)
        worker.wait()
        self.assertGreater(ticks, 20)
        many = [eventlet.spawn(self.driver.exists, name) for name in ("disk", "none") * 16]
        self.assertEqual([one.wait() for one in many], [True, False] * 16)

    def test_native_threads_share_a_driver(self):
        failures = []

        def work(number):
            try:
                for turn in range(3):
                    self.driver.create_snap("disk", f"s-{number}-{turn}")
                    assert self.driver.exists("disk", snapshot=f"s-{number}-{turn}")
                    self.driver.remove_snap("disk", f"s-{number}-{turn}")
                    assert self.driver.size("disk") == 8 * MIB
            except BaseException as error:
                failures.append(error)

        rbd.RBD().create(self.ours.ioctx[self.ours.pool], "disk", 8 * MIB)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual((failures, [thread for thread in threads if thread.is_alive()]), ([], []))

    def test_a_forked_child_works(self):
        self.assertFalse(self.driver.exists("disk"))
        child = os.fork()
        if child == 0:
            try:
                self.driver.get_fsid()
                os._exit(7 if self.driver.exists("disk") else 0)
            finally:
                os._exit(8)
        limit = time.monotonic() + 60
        ended = (0, 0)
        while ended[0] == 0 and time.monotonic() < limit:
            ended = os.waitpid(child, os.WNOHANG)
            eventlet.sleep(0.05)
        if ended[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.assertEqual(ended, (child, 0))
        self.assertFalse(self.driver.exists("disk"))

    def killed(self, side, base, ready):
        """Kills a process, with all it started, once ``ready``, while it gives Nova a cached base to import."""
        command = [sys.executable, "-W", "ignore", "-c", CREATE, side.name, CEPH_CONF, side.pool, base]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.assertEqual(child.stdout.readline(), "begun\n")
        limit = time.monotonic() + 60
        while not ready() and time.monotonic() < limit:
            eventlet.sleep(0.002)
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0]

    def test_s01_a_killed_import_of_a_cached_base_leaves_no_torn_disk_and_novas_own_does(self):
        base = os.path.join(self.dir, "base")
        content = os.urandom(256 * MIB)
        with open(base, "wb") as file:
            file.write(content)
        whole = hashlib.sha256(content).hexdigest()

        said = self.killed(self.theirs, base, lambda: "disk" in rbd.RBD().list(self.theirs.ioctx[self.theirs.pool]))
        self.assertNotIn("done", said)
        # It exists, so that the next boot would take it for the instance's disk.
        self.assertTrue(self.theirs.driver.exists("disk"))
        self.assertNotEqual(self.theirs.state()["VMS/disk"]["digest"], whole)

        store = volary.Store(f"ceph:{CEPH_CONF}")
        for pause in (0, 0.1, 0.4):
            def ready():
                if not store.pending(self.ours.pool):
                    return False
                eventlet.sleep(pause)
                return True

            said = self.killed(self.ours, base, ready)
            # Killed at its first steps it may have left a name in the directory that leads nowhere: the reaper's to settle.
            if self.driver.exists("disk"):
                self.assertEqual(self.ours.volume("disk")["digest"], whole)
                self.driver.destroy_volume("disk")
            else:
                self.assertNotIn("done", said)
            store.reap(self.ours.pool)
            if self.driver.exists("disk"):
                self.assertEqual(self.ours.state()["VMS/disk"]["digest"], whole)
                self.driver.destroy_volume("disk")
            self.assertEqual((store.pending(self.ours.pool), self.ours.state()["VMS trash"]), ([], []))


if __name__ == "__main__":
    unittest.main()
