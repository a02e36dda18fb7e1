"""Writes the parts of a new control that can be written for it: `make control NAME=slug LEVEL=cmk`.

Writes the file, the entries in `control/mod.rs` and the catalogue, two scenarios and the row of the
README. What is left to do has the mark TODO, and tests fail until it is done.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONTROLS = Path("crates/controls/src")
LEVELS = {"kms": "Kms", "cmk": "Cmk", "enforced": "Enforced"}
# The control that must stay the last one: it needs the verdicts of the others.
LAST = "KEY_SERVES_ONE_CLASS"

RULE = """\
//! The control `{slug}`: TODO what must hold, and the page of AWS that it follows, with a quotation.

use crate::{{Class, Control, Level, Outcome, Rule, Severity, call}};
use facts::Bucket;

/// The control `{slug}`.
pub(crate) const {constant}: Control = Control {{
    slug: "{slug}",
    level: Level::{level},
    severity: Severity::Medium, // TODO how bad a failure is
    title: "TODO what S3 buckets should have or do",
    holds_when: "TODO the condition, in half a sentence",
    why: "TODO why it matters, in a sentence or two.",
    reference: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/TODO.html",
    requirements: &[],
    remediation: "TODO what to do, with the API call in brackets.",
    calls: &[call::ENCRYPTION], // TODO the calls that change the fact
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
}};

/// Judges a bucket.
///
/// A fact that could not be read never passes and never fails: see `Outcome::unreadable`. The facts
/// that decide are variants of `Evidence`.
fn check(_: &Bucket, _: &Class) -> Outcome {{
    Outcome::NotApplicable("TODO write the check".into())
}}

#[cfg(test)]
mod tests {{
    use super::*;
    use crate::example::{{bucket, class, denied}};
    use facts::{{DefaultEncryption, Fact}};

    /// TODO one row for each outcome.
    #[test]
    fn outcomes() {{
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(check(&sse_s3, &class()), Outcome::Failed {{ .. }}));
    }}

    #[test]
    fn an_unreadable_fact_is_undetermined() {{
        let why = denied("s3:GetEncryptionConfiguration");
        let unreadable = bucket(Fact::Unreadable(why.clone()));
        assert_eq!(check(&unreadable, &class()), Outcome::unreadable(&why));
    }}
}}
"""

SCENARIO = """\
question = "TODO a question that this bucket answers"
class = "{data_class}"

[encryption]
algorithm = "aws:kms"
key = "arn"

[key]

[expect]
{slug} = "{verdict}"
"""

CLASSES = {"kms": "internal", "cmk": "confidential", "enforced": "restricted"}


class Refused(Exception):
    """The request cannot be carried out; the text says why."""


def write(root, slug, level):
    """Writes the parts of a control, and returns their paths."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", slug):
        raise Refused(f"NAME is `{slug}`, expected a slug that says what must hold, such as tls-only")
    if level not in LEVELS:
        raise Refused(f"LEVEL is `{level}`, expected one of {', '.join(LEVELS)}")
    name, constant = slug.replace("-", "_"), slug.replace("-", "_").upper()
    file = CONTROLS / "control" / f"{name}.rs"
    if (root / file).exists():
        raise Refused(f"the control `{slug}` exists: {file}")
    text = RULE.format(slug=slug, constant=constant, level=LEVELS[level])
    (root / file).write_text(text, encoding="utf-8")
    changed = [
        file,
        _module(root, name, constant),
        _catalogue(root, constant, level),
        _readme(root, slug, level),
    ]
    for verdict in ("PASSED INFORMATIONAL", "FAILED MEDIUM"):
        changed.append(_scenario(root, slug, level, verdict))
    return changed


def _edit(root, path, edit):
    text = (root / path).read_text(encoding="utf-8")
    (root / path).write_text(edit(text), encoding="utf-8")
    return path


def _module(root, name, constant):
    """Adds the module and its constant, each in the order of the alphabet."""

    def edit(text):
        modules = re.findall(r"^mod \w+;\n", text, re.MULTILINE)
        uses = re.findall(r"^pub\(crate\) use \w+::[^;]*;\n", text, re.MULTILINE)
        text = text.replace("".join(modules), "".join(sorted([*modules, f"mod {name};\n"])))
        return text.replace("".join(uses), "".join(sorted([*uses, f"pub(crate) use {name}::{constant};\n"])))

    return _edit(root, CONTROLS / "control" / "mod.rs", edit)


def _catalogue(root, constant, level):
    """Adds the constant behind the last control of its level."""

    def level_of(known):
        text = (root / CONTROLS / "control" / f"{known.lower()}.rs").read_text(encoding="utf-8")
        return list(LEVELS.values()).index(re.search(r"level: Level::(\w+)", text).group(1))

    def edit(text):
        entries = re.search(r"(OF_BUCKETS: &\[&Control\] = &\[\n)(.*?)(\n\];)", text, re.DOTALL)
        known = re.findall(r"&control::(\w+),", entries.group(2))
        before = [one for one in known if one != LAST and level_of(one) <= list(LEVELS).index(level)]
        place = len(before)
        lines = [f"    &control::{one}," for one in [*known[:place], constant, *known[place:]]]
        return text.replace(entries.group(), entries.group(1) + "\n".join(lines) + entries.group(3))

    return _edit(root, CONTROLS / "catalogue.rs", edit)


def _readme(root, slug, level):
    """Adds a row behind the last row of the level."""

    def edit(text):
        lines = text.splitlines(keepends=True)
        levels = [f"| `{one}` |" for one in list(LEVELS)[: list(LEVELS).index(level) + 1]]
        rows = [number for number, line in enumerate(lines) if any(one in line for one in levels)]
        lines.insert(rows[-1] + 1, f"| `{slug}` | `{level}` | TODO when the control fails |\n")
        return "".join(lines)

    return _edit(root, Path("README.md"), edit)


def _scenario(root, slug, level, verdict):
    outcome = "passes" if verdict.startswith("PASSED") else "fails"
    folder = Path("tests/scenarios") / f"{slug}-{outcome}-todo"
    (root / folder).mkdir()
    text = SCENARIO.format(slug=slug, verdict=verdict, data_class=CLASSES[level])
    (root / folder / "scenario.toml").write_text(text, encoding="utf-8")
    return folder / "scenario.toml"


def main(slug, level):
    try:
        changed = write(ROOT, slug, level)
    except Refused as error:
        print(f"make control: {error}", file=sys.stderr)
        return 1
    print("written:", *changed, sep="\n  ")
    print("next: docs/adding-a-control.md, step 2. What is left:")
    print("  grep -rn TODO crates/controls/src tests/scenarios README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
