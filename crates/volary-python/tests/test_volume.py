"""The class ``Volume`` beside the methods of ``Store`` that it stands for."""

import inspect
import unittest

import volary
from stores import MIB, StoreTest


class Volumes(StoreTest):
    def test_a_volume_has_every_method_that_is_about_one_with_its_options(self):
        one = {"spec", "parent"}
        of_store = {
            name: inspect.signature(getattr(volary.Store, name)).parameters
            for name in dir(volary.Store)
            if not name.startswith("_") and callable(getattr(volary.Store, name))
        }
        about_one = {name: of for name, of in of_store.items() if one & set(list(of)[1:3])}
        self.assertGreater(len(about_one), 30)
        for name, parameters in about_one.items():
            method = inspect.signature(getattr(volary.Volume, name)).parameters
            subject = next(of for of in list(parameters)[1:3] if of in one)
            wanted = [of for of in list(parameters)[1:] if of != subject]
            # These two have overloads, or options by keyword only.
            if name not in ("import_image", "remove"):
                self.assertEqual(list(method)[1:], wanted, name)
                for option in wanted:
                    theirs, ours = parameters[option].default, method[option].default
                    self.assertEqual(ours, theirs, f"{name} {option}")

    def test_a_life_of_a_volume(self):
        web = volary.Volume(self.store, self.spec("web"))
        self.assertFalse(web.exists())
        web.import_image(self.raw("disk.raw", 4, filled=2), format="raw")
        self.assertEqual((web.exists(), web.size()), (True, 4 * MIB))
        golden = web.at("golden")
        golden.create_snapshot(protect=True)
        self.assertEqual([of["name"] for of in web.snapshots()], ["golden"])
        child = volary.Volume(self.store, self.spec("child"))
        golden.clone(child.spec)
        self.assertEqual(child.parent()["snapshot"], "golden")
        self.assertEqual(len(golden.children()), 1)
        with self.assertRaises(volary.BlockedError):
            web.remove()
        child.remove()
        web.set_metadata("owner", "somebody")
        self.assertEqual(web.get_metadata("owner"), "somebody")
        web.verify()
        golden.unprotect_snapshot()
        web.remove(purge_snapshots=True)
        self.assertFalse(web.exists())

    def test_it_is_what_it_names(self):
        web = volary.Volume(self.store, "web")
        self.assertEqual((web, hash(web)), (volary.Volume(self.store, "web"), hash(volary.Volume(self.store, "web"))))
        self.assertNotEqual(web, web.at("golden"))
        self.assertEqual(web.at("golden").spec, "web@golden")
        self.assertIn("web", repr(web))
        self.assertIs(web.store, self.store)


if __name__ == "__main__":
    unittest.main()
