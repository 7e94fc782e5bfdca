"""Makes namespaces and pools for one test process, and takes them away: when asked to, and all of them when the process is gone.

A request is a line of words, the answer `ok` or the words of an error. What belongs to a test is known by the prefix of its name.
"""

import ctypes
import errno
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import rados
import rbd


OPTIONS = {"rados_osd_op_timeout": "30", "rados_mon_op_timeout": "30", "client_mount_timeout": "30"}

# The names that `Sandbox::new` draws.
OWN = re.compile("test-[0-9a-f]{12}-")

ALL_NAMESPACES = b"\1"


class Objects:
    """Lists and removes objects of any name; the module `rados` fails on one that is not UTF-8, and tests make such names."""

    def __init__(self, conf):
        self.lib = ctypes.CDLL("librados.so.2")
        self.cluster = ctypes.c_void_p()
        self.must(self.lib.rados_create(ctypes.byref(self.cluster), None))
        self.must(self.lib.rados_conf_read_file(self.cluster, conf.encode()))
        for option, value in OPTIONS.items():
            self.must(self.lib.rados_conf_set(self.cluster, option.encode(), value.encode()))
        self.must(self.lib.rados_connect(self.cluster))

    @staticmethod
    def must(number):
        if number < 0:
            raise rados.Error("librados failed", -number)

    def open(self, pool, namespace):
        io = ctypes.c_void_p()
        self.must(self.lib.rados_ioctx_create(self.cluster, pool.encode(), ctypes.byref(io)))
        self.lib.rados_ioctx_set_namespace(io, namespace)
        # A pool at its quota lets go of what it has, and keeps nobody waiting.
        self.lib.rados_set_pool_full_try(io)
        return io

    def close(self, io):
        self.lib.rados_ioctx_destroy(io)

    def shutdown(self):
        self.lib.rados_shutdown(self.cluster)

    def list(self, io):
        """Namespace and name of each object."""
        found, listing = [], ctypes.c_void_p()
        name, key, namespace = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_char_p()
        self.must(self.lib.rados_nobjects_list_open(io, ctypes.byref(listing)))
        while (number := self.lib.rados_nobjects_list_next(listing, ctypes.byref(name), ctypes.byref(key), ctypes.byref(namespace))) == 0:
            found.append((namespace.value, name.value))
        self.lib.rados_nobjects_list_close(listing)
        if number != -errno.ENOENT:
            self.must(number)
        return found

    def remove(self, io, name):
        number = self.lib.rados_remove(io, name)
        if number != -errno.ENOENT:
            self.must(number)


class Keeper:
    def __init__(self, conf):
        self.cluster = rados.Rados(conffile=conf, conf=OPTIONS)
        self.cluster.connect()
        self.raw = Objects(conf)
        self.workers = ThreadPoolExecutor(16)
        self.prefixes = set()

    def answer(self, words):
        request, *arguments = words
        return {"prefix": self.prefixes.add, "namespace": self.namespace, "pool": self.pool, "clean": self.clean}[request](*arguments)

    def namespace(self, pool, name):
        with self.cluster.open_ioctx(pool) as io:
            rbd.RBD().namespace_create(io, name)

    def pool(self, name):
        self.command('{"prefix": "osd pool create", "pool": "%s", "pg_num": 8}' % name)
        with self.cluster.open_ioctx(name) as io:
            rbd.RBD().pool_init(io, True)

    def command(self, command):
        number, _, error = self.cluster.mon_command(command, b"", timeout=30)
        if number != 0:
            raise rados.Error(error, -number)

    def clean(self, prefix):
        """Removes the namespaces and pools whose names begin so, with all that is in them."""
        for pool in self.cluster.list_pools():
            if pool.startswith(prefix):
                self.command('{"prefix": "osd pool delete", "pool": "%s", "pool2": "%s", "yes_i_really_really_mean_it": true}' % (pool, pool))
        places = []
        for pool in self.lasting_pools():
            with self.cluster.open_ioctx(pool) as io:
                places += [(pool, name) for name in rbd.RBD().namespace_list(io) if name.startswith(prefix)]
        self.empty(places)
        list(self.workers.map(self.remove_namespace, places))

    def lasting_pools(self):
        """Those that are no single test's: another test's may be gone a moment later."""
        return [pool for pool in self.cluster.list_pools() if not pool.startswith(".") and not OWN.match(pool)]

    def remove_namespace(self, place):
        pool, name = place
        with self.cluster.open_ioctx(pool) as io:
            rbd.RBD().namespace_remove(io, name)

    def empty(self, places):
        """Removes every object of these namespaces."""
        found = list(self.workers.map(self.objects, places))
        # What a snapshot keeps of an object goes with the snapshot. The monitors remove many at a time.
        snapshots = [(io, snapshot) for io, _, _, snapshots in found for snapshot in snapshots]
        list(self.workers.map(lambda of: of[0].remove_self_managed_snap(of[1]), snapshots))
        objects = [(raw, name) for _, raw, names, _ in found for name in names]
        list(self.workers.map(lambda of: self.raw.remove(*of), objects))
        for io, raw, _, _ in found:
            io.close()
            self.raw.close(raw)

    def objects(self, place):
        pool, namespace = place
        io, raw = self.cluster.open_ioctx(pool), self.raw.open(pool, namespace.encode())
        io.set_namespace(namespace)
        names = [name for _, name in self.raw.list(raw)]
        headers = [name.decode() for name in names if name.startswith(b"rbd_header.")]
        return io, raw, names, [snapshot for header in headers for snapshot in self.snapshots(io, header)]

    @staticmethod
    def snapshots(io, header):
        with rados.ReadOpCtx() as operation:
            entries, _ = io.get_omap_vals(operation, "", "snapshot_", 10000)
            try:
                io.operate_read_op(operation, header)
            except rados.ObjectNotFound:
                return []
            return [int(key[len("snapshot_"):], 16) for key, _ in entries if re.fullmatch("snapshot_[0-9a-f]{16}", key)]

    def end(self):
        """Takes away all that was asked for, and what came into its namespaces since they were emptied."""
        for prefix in self.prefixes:
            self.clean(prefix)
        late = set()
        for pool in self.lasting_pools():
            raw = self.raw.open(pool, ALL_NAMESPACES)
            late |= {(pool, namespace.decode()) for namespace, _ in self.raw.list(raw)}
            self.raw.close(raw)
        self.empty([(pool, name) for pool, name in late if name.startswith(tuple(self.prefixes))])
        # A thread of librados that is left at the end of the process may run into what is taken down by then.
        self.workers.shutdown()
        self.raw.shutdown()
        self.cluster.shutdown()


def main():
    keeper = Keeper(sys.argv[1])
    for line in sys.stdin:
        try:
            keeper.answer(line.split())
            said = "ok"
        except Exception as error:
            said = "%s: %s" % (type(error).__name__, str(error).replace("\n", " "))
        print(said, flush=True)
    keeper.end()


main()
