"""Tests the template that is put together from two files."""

import pathlib
import tempfile
import unittest
from unittest import mock

from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from infra.deploy import hub


def files(template, monitoring):
    """Replaces the two files by others until the returned patch ends."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "template.yaml").write_text(template)
    (folder / "monitoring.yaml").write_text(monitoring)
    hub.template.cache_clear()
    return mock.patch.multiple(hub, TEMPLATE=folder / "template.yaml", MONITORING=folder / "monitoring.yaml")


class Hub(unittest.TestCase):
    def tearDown(self):
        hub.template.cache_clear()

    def test_what_is_written_has_every_section_of_both_files(self):
        with tempfile.TemporaryDirectory() as folder:
            written = yaml_parse(hub.write(pathlib.Path(folder) / "hub.yaml").read_text())
        for file in (hub.TEMPLATE, hub.MONITORING):
            for section, entries in yaml_parse(file.read_text()).items():
                with self.subTest(section, file=file.name):
                    whole = written[section]
                    found = {name: whole[name] for name in entries} if isinstance(entries, dict) else whole
                    self.assertEqual(dict(entries) if isinstance(entries, dict) else entries, found)

    def test_a_name_that_both_files_define_is_refused(self):
        words = "defines Topic, which infra/template.yaml defines too"
        both = files("Resources: {Topic: {}, Key: {}}", "Resources: {Topic: {}}")
        with both, self.assertRaisesRegex(ValueError, words):
            hub.template()


if __name__ == "__main__":
    unittest.main()
