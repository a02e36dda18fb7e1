"""Shows a custom notification of Amazon Q Developer in chat applications as Slack displays it.

https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
The format of its text: https://docs.slack.dev/messaging/formatting-message-text
"""

import html
import re

from rich.panel import Panel
from rich.text import Text

# The order is Slack's order of precedence: code contains no other markup.
_MARKUP = re.compile(
    r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|<(?P<url>[^|>\n]+)\|(?P<link>[^>\n]+)>|\*(?P<bold>[^*\n]+)\*"
)
_STYLES = {"block": "cyan", "code": "cyan", "link": "underline blue", "bold": "bold"}


def panel(notification):
    """Returns the message with its title, text, next steps and keywords."""
    content = notification["content"]
    shown = Text.assemble((html.unescape(content["title"]), "bold"), "\n", _text(content["description"]))
    for step in content.get("nextSteps", []):
        shown.append_text(Text.assemble("\n• ", _text(step)))
    keywords = "  ".join(f"[{html.unescape(keyword)}]" for keyword in content.get("keywords", []))
    thread = notification["metadata"].get("threadId", "no thread")
    return Panel(
        Text.assemble(shown, "\n", (keywords, "dim")), title="Slack", subtitle=f"in the thread {thread}", width=118
    )


def title(notification):
    return html.unescape(notification["content"]["title"])


def _text(markup):
    text, done = Text(), 0
    for found in _MARKUP.finditer(markup):
        text.append(html.unescape(markup[done : found.start()]))
        kind = found.lastgroup
        text.append(html.unescape(found[kind]), style=_STYLES[kind])
        done = found.end()
    return text.append(html.unescape(markup[done:]))
