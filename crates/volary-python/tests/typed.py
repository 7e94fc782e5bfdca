"""A program as a user writes it, for `mypy --strict` alone: what is typed wrongly in the module shows here."""

from typing import Optional

import volary
import volary.nova
from volary.reports import ImportReport, ParentReport, RemoveReport


def progress(phase: str, done_bytes: int, total_bytes: Optional[int]) -> None:
    print(phase, done_bytes, total_bytes)


def main(url: str) -> int:
    with volary.Store(url, timeout=5) as store:
        imported: ImportReport = store.import_image("disk.qcow2", "vms/base", snapshot="golden", progress=progress)
        planned = store.import_image("disk.qcow2", "vms/base", dry_run=True)
        print(imported["source"]["sha256"], planned["available_bytes"])
        for volume in store.volumes("vms", details=True):
            print(volume["volume"], volume["size_bytes"])
        web = volary.Volume(store, "vms/web")
        parent: Optional[ParentReport] = web.parent()
        print(web.import_image("disk.qcow2", dry_run=True)["available_bytes"], web.at("golden").spec)
        volary.nova.install(allow_shrink=True)
        try:
            removed: RemoveReport = store.remove("vms/web", defer=3600)
            assert removed["outcome"] != "blocked"
        except volary.BlockedError as error:
            print(error.hint, error.context.get("volume"), error.report["blockers"])
            return error.exit_code
    return 0 if parent is None else 1
