"""Time per call of Nova's driver and ours, call by call beside each other on one cluster; prints one JSON document."""

import json
import statistics
import sys
import threading
import time

import eventlet
from sides import CEPH_CONF, CONF, MIB, OURS, THEIRS, Side, rados, rbd


def measured(turns):
    """The median milliseconds per call of each method: (Nova's, ours); and what ``crowded`` and ``cleanups`` find."""
    cluster = rados.Rados(conffile=CEPH_CONF)
    cluster.connect()
    sides = [Side("theirs", THEIRS, cluster), Side("ours", OURS, cluster)]
    try:
        for side in sides:
            for name in ("base", "plain"):
                rbd.RBD().create(side.ioctx[side.pool], name, 64 * MIB)
            side.write("base", 0, b"x" * MIB)
            side.driver.create_snap("base", "snap", protect=True)
            url = f"rbd://{cluster.get_fsid()}/{side.pool}/base/snap"
            side.at = {"url": url}
            side.driver.clone(side.at, "child")
        limit = time.monotonic() + 60
        while isinstance(sides[1].ask("get_pool_info"), str) and time.monotonic() < limit:
            eventlet.sleep(0.2)
        raw = {"disk_format": "raw"}
        calls = {
            "exists": lambda side, turn: side.driver.exists("base"),
            "size": lambda side, turn: side.driver.size("base"),
            "get_fsid": lambda side, turn: side.driver.get_fsid(),
            "get_mon_addrs": lambda side, turn: side.driver.get_mon_addrs(),
            "get_pool_info": lambda side, turn: side.driver.get_pool_info(),
            "is_cloneable": lambda side, turn: side.driver.is_cloneable(side.at, raw),
            "parent_info": lambda side, turn: side.driver.parent_info("child"),
            "clone": lambda side, turn: side.driver.clone(side.at, f"clone-{turn}"),
            "destroy_volume": lambda side, turn: side.driver.destroy_volume(f"clone-{turn}"),
        }
        times = {method: medians(call, sides, turns) for method, call in calls.items()}
        return times, crowded(sides[1].driver, turns), cleanups(sides, 300, 50, 3)
    finally:
        for side in sides:
            side.close()
        cluster.shutdown()


def medians(call, sides, turns):
    times = {side.name: [] for side in sides}
    for turn in range(turns):
        # Neither always goes first.
        for side in sides if turn % 2 else reversed(sides):
            begun = time.perf_counter()
            call(side, turn)
            times[side.name].append((time.perf_counter() - begun) * 1000)
    return tuple(statistics.median(times[side.name]) for side in sides)


def cleanups(sides, clones, resized, rounds):
    """The median seconds of one clean-up of so many clones, and of so many volumes each with the snapshot of a resize."""

    def one(side, count, resize):
        for number in range(count):
            if resize:
                rbd.RBD().create(side.ioctx[side.pool], f"gone-{number}", MIB)
                with rbd.Image(side.ioctx[side.pool], f"gone-{number}") as image:
                    image.create_snap("nova-resize")
            else:
                sides[1].classes["RBDDriver"](pool=side.pool).clone(side.at, f"gone-{number}")
        begun = time.perf_counter()
        side.driver.cleanup_volumes(lambda name: name.startswith("gone-"))
        took = time.perf_counter() - begun
        left = [name for name in rbd.RBD().list(side.ioctx[side.pool]) if name.startswith("gone-")]
        if left:
            sys.exit(f"{side.name} left {left}")
        return took

    # What Nova's own options are where nobody sets them.
    CONF.set_override("rbd_destroy_volume_retries", 12, "libvirt")
    CONF.set_override("rbd_destroy_volume_retry_interval", 5, "libvirt")
    found = {}
    for count, resize in ((clones, False), (resized, True)):
        times = [[one(side, count, resize) for side in sides] for _ in range(1 if resize else rounds)]
        what = f"{count} volumes each with a snapshot" if resize else f"{count} clones"
        found[what] = tuple(statistics.median(column) for column in zip(*times))
    return found


THREADS = 8


def crowded(driver, turns):
    """The median seconds of the same calls on one driver: all by one thread, and shared out among eight."""

    def work(calls):
        for _ in range(calls):
            driver.exists("base")
            driver.size("base")

    def timed(threads):
        threads = [threading.Thread(target=work, args=(THREADS * turns // threads,)) for _ in range(threads)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    pairs = [(timed(1), timed(THREADS)) for _ in range(7)]
    return tuple(statistics.median(times) for times in zip(*pairs))


if __name__ == "__main__":
    found, (alone, together), cleaned = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    rows = [
        {"method": method, "nova_ms": round(theirs, 3), "volary_ms": round(ours, 3), "times_faster": round(theirs / ours, 1)}
        for method, (theirs, ours) in found.items()
    ]
    cleanups = [{"work": work, "nova_s": theirs, "volary_s": ours} for work, (theirs, ours) in cleaned.items()]
    told = {"methods": rows, "one_thread_s": alone, "eight_threads_s": together, "cleanups": cleanups}
    print(json.dumps(told, indent=1))
