"""The examples of the documentation, run."""

import os
import pathlib
import re
import tempfile
import unittest

PAGES = ["docs/python.md"]
ROOT = pathlib.Path(__file__).resolve().parents[3]


class Examples(unittest.TestCase):
    def test_the_examples_of_the_pages_run(self):
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        for page in PAGES:
            examples = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
            self.assertTrue(examples, page)
            with tempfile.TemporaryDirectory() as directory:
                os.chdir(directory)
                # The disk image that the pages speak of.
                with open("disk.raw", "wb") as file:
                    file.write(os.urandom(1 << 20))
                    file.truncate(8 << 20)
                names = {}
                for example in examples:
                    exec(compile(example, page, "exec"), names)
                os.chdir(before)


if __name__ == "__main__":
    unittest.main()
