"""Threads, forks, signals: what Python does around an operation."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import volary
from stores import MIB, StoreTest

IMPORTER = """
import signal, sys, volary
# A shell has what it starts in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
url, path, spec = sys.argv[1:]
store = volary.Store(url)
try:
    store.import_image(path, spec, progress=lambda phase, done, total: print(phase, done, flush=True))
except KeyboardInterrupt:
    print("stopped", flush=True)
    left = [store.exists(spec), store.trash(spec.rsplit("/", 1)[0]), store.pending(spec.rsplit("/", 1)[0])]
    print(left, flush=True)
    sys.exit(130)
"""


ENDER = """
import sys, threading, volary
url, path, place = sys.argv[1:]
store = volary.Store(url)
at_work = threading.Semaphore(0)

def look():
    while True:
        store.volumes(place)
        at_work.release()

def write(number):
    while True:
        store.import_image(path, f"{place}/own-{number}", progress=lambda *at: at_work.release())
        store.remove(f"{place}/own-{number}")

threads = [threading.Thread(target=look, daemon=True) for _ in range(3)]
threads += [threading.Thread(target=write, args=(number,), daemon=True) for number in range(2)]
threading.excepthook = lambda failed: None
for thread in threads:
    thread.start()
for _ in range(20):
    at_work.acquire()
sys.exit(7)
"""


def in_child(work):
    """Runs ``work`` in a forked child and returns its exit code; a child that hangs is killed, and that is no code."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
    child.join()
    return child.exitcode


class Threads(StoreTest):
    def test_many_threads_use_one_store(self):
        failures = []

        def work(number):
            try:
                for turn in range(5):
                    spec = self.spec(f"web-{number}-{turn}")
                    self.store.create(spec, MIB)
                    assert self.store.exists(spec) and self.store.size(spec) == MIB
                    self.store.remove(spec)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(failures, [])
        self.assertEqual(self.store.volumes(self.place), [])

    def test_other_threads_run_while_an_operation_works(self):
        path, told = self.raw("disk.raw", 64), []
        turns = 0
        worker = threading.Thread(
            target=self.store.import_image, args=(path, self.spec("web")), kwargs={"progress": lambda *at: told.append(at)}
        )
        worker.start()
        while worker.is_alive():
            turns += 1
            time.sleep(0.001)
        self.assertGreater(turns, 3)
        self.assertTrue(self.store.exists(self.spec("web")))
        self.assertTrue(told)


class Ends(StoreTest):
    def test_an_interpreter_that_ends_in_the_middle_of_operations_keeps_its_exit_code(self):
        path = self.raw("disk.raw", 64, filled=16)
        for _ in range(5):
            ended = subprocess.run(
                [sys.executable, "-c", ENDER, self.url, path, self.place], capture_output=True, text=True, timeout=120
            )
            self.assertEqual((ended.returncode, ended.stderr), (7, ""))
            # What was at work is undone, or done; a record that was just being written may be left, and names no volume.
            self.assertEqual([record["volume_id"] for record in self.store.pending(self.place) if record["volume_id"]], [])
            self.assertEqual(self.store.trash(self.place), [])
            for volume in self.store.volumes(self.place):
                self.store.remove(self.spec(volume["name"]))


class Forks(StoreTest):
    def test_a_forked_child_uses_the_store_and_leaves_the_parents_alone(self):
        self.store.create(self.spec("before"), MIB)

        def work():
            self.store.create(self.spec("child"), MIB)
            assert self.store.exists(self.spec("before"))
            with volary.Store(self.url) as another:
                assert another.exists(self.spec("child"))

        self.assertEqual(in_child(work), 0)
        self.assertTrue(self.store.exists(self.spec("child")))
        # Again, from a process that has worked since.
        self.assertEqual(in_child(lambda: self.store.remove(self.spec("child"))), 0)
        self.assertFalse(self.store.exists(self.spec("child")))

    def test_a_child_forked_in_the_middle_of_an_operation_does_not_hang_or_spoil_it(self):
        path, begun = self.raw("disk.raw", 96), threading.Event()
        worker = threading.Thread(
            target=self.store.import_image,
            args=(path, self.spec("web")),
            kwargs={"progress": lambda phase, done, total: begun.set()},
        )
        worker.start()
        self.assertTrue(begun.wait(60))

        def work():
            try:
                self.store.exists(self.spec("web"))
            except volary.UnsupportedError:
                # A local store is refused then, with the reason; a cluster is connected to anew.
                assert self.url.startswith("local:")

        self.assertEqual(in_child(work), 0)
        worker.join(120)
        self.store.verify(self.spec("web"))


class Signals(StoreTest):
    def test_s05_ctrl_c_in_a_long_import_raises_and_leaves_nothing(self):
        path, spec = self.raw("disk.raw", 512, filled=256), self.spec("web")
        child = subprocess.Popen(
            [sys.executable, "-c", IMPORTER, self.url, path, spec], stdout=subprocess.PIPE, text=True
        )
        self.assertTrue(child.stdout.readline().startswith("copy"))
        child.send_signal(signal.SIGINT)
        printed, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 130, printed)
        self.assertIn("stopped\n[False, [], []]\n", printed)
        self.assertEqual(self.store.volumes(self.place), [])

    def test_a_progress_callback_that_raises_stops_the_operation_and_leaves_nothing(self):
        def stop(phase, done, total):
            raise LookupError("enough")

        path, spec = self.raw("disk.raw", 512, filled=256), self.spec("web")
        with self.assertRaisesRegex(LookupError, "enough"):
            self.store.import_image(path, spec, progress=stop)
        self.assertEqual((self.store.exists(spec), self.store.pending(self.place)), (False, []))
        self.assertEqual(self.store.trash(self.place), [])


@unittest.skipIf("VOLARY_TEST_CEPH_CONF" not in os.environ, "environment variables that outrank Ceph's configuration")
class Environment(StoreTest):
    def test_a_variable_that_would_outrank_the_configuration_is_refused_and_named(self):
        code = "import sys, volary; volary.Store(sys.argv[1])"
        environment = dict(os.environ, CEPH_ARGS="--id nobody")
        ended = subprocess.run([sys.executable, "-c", code, self.url], env=environment, capture_output=True, text=True)
        self.assertIn("UsageError", ended.stderr)
        self.assertIn("CEPH_ARGS", ended.stderr)


if __name__ == "__main__":
    unittest.main()
