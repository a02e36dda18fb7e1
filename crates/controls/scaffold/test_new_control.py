"""Tests of the scaffold, on a copy of the files that it edits."""

import shutil
import tempfile
import unittest
from pathlib import Path

import new_control


class Scaffold(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "tests/scenarios").mkdir(parents=True)
        shutil.copytree(new_control.ROOT / new_control.CONTROLS, self.root / new_control.CONTROLS)
        shutil.copy(new_control.ROOT / "README.md", self.root)

    def read(self, path):
        return (self.root / path).read_text(encoding="utf-8")

    def test_every_part_is_written(self):
        for path in new_control.write(self.root, "objects-locked", "cmk"):
            self.assertRegex(self.read(path), "(?i)objects.locked", path)
        catalogue = self.read("crates/controls/src/catalogue.rs")
        self.assertIn("    &control::OBJECTS_LOCKED,\n    &control::UPLOADS_USE_CMK,", catalogue)
        names = sorted(path.name for path in (self.root / "tests/scenarios").iterdir())
        self.assertEqual(names, ["objects-locked-fails-todo", "objects-locked-passes-todo"])

    def test_a_control_of_the_highest_level_is_not_the_last(self):
        new_control.write(self.root, "objects-locked", "enforced")
        catalogue = self.read("crates/controls/src/catalogue.rs")
        self.assertIn("    &control::OBJECTS_LOCKED,\n    &control::KEY_SERVES_ONE_CLASS,\n];", catalogue)

    def test_a_wrong_request_is_refused_and_writes_nothing(self):
        before = sorted(self.root.rglob("*"))
        for slug, level, words in [
            ("Objects", "cmk", "expected a slug"),
            ("../x-y", "cmk", "expected a slug"),
            ("tls-only", "cmk", "exists"),
            ("objects-locked", "high", "LEVEL is `high`"),
        ]:
            with self.subTest(slug), self.assertRaisesRegex(new_control.Refused, words):
                new_control.write(self.root, slug, level)
        self.assertEqual(sorted(self.root.rglob("*")), before)


if __name__ == "__main__":
    unittest.main()
