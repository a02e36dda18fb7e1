"""Tests of the checks of prose."""

import unittest

import prose


def faults(text, name="x.rs"):
    return [fault for block in prose.blocks_of(name, text) for fault in block.faults()]


class Prose(unittest.TestCase):
    def test_plain_text_has_no_fault(self):
        text = "/// Returns the key, or `None` if the bucket has none.\n///\n/// It may be old.\nfn key() {}\n"
        self.assertEqual(faults(text), [])
        self.assertEqual(faults("# Title\n\nA bucket. A key.\n\n```\nwhatever is told\n```\n", "x.md"), [])

    def test_each_rule_finds_its_fault(self):
        long = "word " * 26
        for text, words in [
            ("/// Whether it is told.\n", "a doc comment opens with `Whether`"),
            ("// The people are told.\n", "`told`"),
            (f"//! {long}.\n", "26 words"),
            ('/// The key.\nfn f() { panic!("nobody is told") }\n', "`told`"),
            ("#[test]\nfn what_is_told_is_true() {}\n", "`told`"),
        ]:
            with self.subTest(text):
                self.assertIn(words, " ".join(faults(text)))

    def test_a_link_and_code_count_as_one_word(self):
        link = f"[page](https://docs.aws.amazon.com/{'x' * 300})"
        self.assertEqual(faults(f"Follows {link} and `{'a b ' * 30}`.\n", "x.md"), [])

    def test_a_comment_that_is_too_long_is_found(self):
        self.assertIn("characters in a line", " ".join(faults("// " + "word " * 22 + "\n")))


if __name__ == "__main__":
    unittest.main()
