"""Tests how Slack shows a message: which text is markup, and which only looks like it."""

import io
import unittest

from rich.console import Console

from sandbox import slack


def shown(description, **content):
    content = {"title": "&lt;title&gt;", "description": description, **content}
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(slack.panel({"content": content, "metadata": {"threadId": "cmkwatch/x"}}))
    return console.file.getvalue()


class Slack(unittest.TestCase):
    def test_a_message_is_shown_with_all_its_parts(self):
        told = shown("*Bucket* `acme`", nextSteps=["do this", "do that"], keywords=["HIGH"])
        for words in ("<title>", "Bucket acme", "• do this", "• do that", "[HIGH]", "in the thread cmkwatch/x"):
            self.assertIn(words, told)
        self.assertNotIn("*", told)

    def test_escaped_text_and_code_are_shown_unchanged(self):
        told = shown("`&lt;!channel&gt; *x* [bold]y[/bold]` &amp; <https://a.example|a finding>")
        self.assertIn("<!channel> *x* [bold]y[/bold] & a finding", told)
        self.assertNotIn("https://a.example", told)

    def test_text_without_markup_is_unchanged(self):
        self.assertIn("2 * 3 < 4", shown("2 * 3 &lt; 4"))
        self.assertIn("a ` b", shown("a ` b"))


if __name__ == "__main__":
    unittest.main()
