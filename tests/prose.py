"""Checks the prose of comments and documents, as far as a machine can: `python tests/prose.py`.

No sentence has over 25 words, and no comment line over 100 characters. None of the words in WORDS
occurs, in comments, strings and names of functions. No doc comment opens with a pronoun or a
question word.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

LONGEST_SENTENCE = 25
WIDTH = 100
# What to write instead is in the second column.
WORDS = {
    r"stands?|stood": "exists, is stored",
    r"told": "reported, logged, sent",
    r"anew": "again",
    r"com(?:e|es|ing) to": "reach",
    r"came to": "reached",
    r"puts? off|putting off": "requeue",
    r"lets? off|letting off": "exempt",
    r"none where": "`None` if",
    r"wanted is|is wanted": "expected",
    r"made out to": "filled in for",
    r"whom|whomever|whoever": "rephrase",
    r"whatever|whichever|wherever": "rephrase",
    r"be it": "rephrase",
    r"lest": "so that ... not",
}
BANNED = [(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), instead) for words, instead in WORDS.items()]
# A doc comment that opens with one of these is not understood alone.
OPENERS = set(
    [
        "it",
        "its",
        "they",
        "them",
        "their",
        "this",
        "that",
        "these",
        "those",
        "he",
        "she",
        "his",
        "her",
        "one",
        "none",
        "some",
        "any",
        "of",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "where",
        "when",
        "why",
        "how",
        "whether",
    ]
)


class Block:
    """A run of text: a doc comment, a comment or a paragraph, from a line of a file on."""

    def __init__(self, path, line, text, is_doc=False, is_code=False, longest=0):
        self.path, self.line, self.text = path, line, text
        self.is_doc, self.is_code, self.longest = is_doc, is_code, longest

    def faults(self):
        text = self.text if self.is_code else plain(self.text)
        for pattern, instead in BANNED:
            if found := pattern.search(text):
                yield f"`{found.group()}`: {instead}"
        if self.is_code:
            return
        if self.longest > WIDTH:
            yield f"{self.longest} characters in a line"
        for sentence in sentences(text):
            if len(words(sentence)) > LONGEST_SENTENCE:
                yield f"{len(words(sentence))} words in one sentence: {' '.join(words(sentence)[:8])} ..."
        opener = re.match(r"[A-Za-z]+", text)
        if self.is_doc and opener and opener.group().lower() in OPENERS:
            yield f"a doc comment opens with `{opener.group()}`: name the subject"


def plain(text):
    """The text without links, code, quotations and markup."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<?https?://[^\s)>]+>?", "URL", text)
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r'"[^"]*"', "QUOTE", text)
    return re.sub(r"[*_#|\[\]]+", " ", text)


def sentences(text):
    return re.split(r"[.!?;]\s|:\s(?=[A-Z])", text)


def words(sentence):
    return [word for word in sentence.split() if re.search(r"\w", word)]


def paragraphs(lines):
    """Groups numbered lines into paragraphs; code blocks are left out, a list item or a row is one."""
    is_code, block, start = False, [], 0
    for number, line in [*lines, (0, "")]:
        text = line.strip()
        if text.startswith(("```", "~~~")):
            is_code, text = not is_code, ""
        elif is_code:
            continue
        begins = re.match(r"([-*+]|\d+\.)\s|\||#", text)
        if block and (not text or begins):
            yield start, " ".join(block)
            block = []
        if text:
            start = start if block else number
            block.append(text)
        if text.startswith(("#", "|")):
            for cell in filter(None, (cell.strip() for cell in text.split("|"))):
                yield number, cell
            block = []


def of_markdown(path, text):
    for line, paragraph in paragraphs(enumerate(text.splitlines(), 1)):
        yield Block(path, line, paragraph)


def of_comments(path, text, marks):
    """Blocks of comments. All lines of a block have the same mark."""
    lines, mark_before, longest = [], None, 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        found = re.match(rf"\s*({marks})(?:\s(.*)|)$", line)
        mark = found and found.group(1)
        if mark != mark_before and lines:
            for place, (start, paragraph) in enumerate(paragraphs(lines)):
                is_doc = place == 0 and mark_before == "///"
                yield Block(path, start, paragraph, is_doc, longest=longest if place == 0 else 0)
            lines, longest = [], 0
        if mark:
            lines.append((number, found.group(2) or ""))
            # A line of one word, such as a link, cannot be broken.
            if len((found.group(2) or "").split()) > 1 and "http" not in line:
                longest = max(longest, len(line))
        mark_before = mark


def of_python(path, text):
    yield from of_comments(path, text, "#")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING and token.string.startswith('"""'):
            lines = enumerate(token.string.strip('"').splitlines(), token.start[0])
            for line, paragraph in paragraphs(lines):
                yield Block(path, line, paragraph)


def of_rust_code(path, text):
    """Strings, and the names of functions: both are read by people."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("//"):
            names = (name.replace("_", " ") for name in re.findall(r"\bfn (\w+)", line))
            for words in [*re.findall(r'"((?:[^"\\]|\\.)*)"', line), *names]:
                # One word is a name, such as that of an attribute.
                if len(words.split()) > 1:
                    yield Block(path, number, words, is_code=True)


def blocks_of(path, text):
    match Path(path).suffix:
        case ".md":
            yield from of_markdown(path, text)
        case ".rs":
            yield from of_comments(path, text, "///|//!|//")
            yield from of_rust_code(path, text)
        case ".py":
            yield from of_python(path, text)
        case ".yaml" | ".yml" | ".toml":
            yield from of_comments(path, text, "#")


def main(arguments):
    listed = subprocess.run(["git", "ls-files", *arguments], capture_output=True, text=True, check=True)
    found = []
    for path in listed.stdout.split():
        if path.endswith(("prose.py", ".lock", ".json")):
            continue
        for block in blocks_of(path, Path(path).read_text(encoding="utf-8")):
            found.extend(f"{path}:{block.line}: {fault}" for fault in block.faults())
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
