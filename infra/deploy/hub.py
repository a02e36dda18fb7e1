"""The template of the hub's stack, put together from its two files."""

import functools
import os
import pathlib

from awscli.customizations.cloudformation.yamlhelper import yaml_dump, yaml_parse

INFRA = pathlib.Path(__file__).resolve().parents[1]
TEMPLATE, MONITORING = INFRA / "template.yaml", INFRA / "monitoring.yaml"


@functools.cache
def template():
    """Returns infra/template.yaml with the sections of infra/monitoring.yaml added.

    One stack holds both, because a nested stack could not take over alarms that the stack has
    already: the name of an alarm is unique. AWS::Include is no alternative, because cfn-lint and
    checkov do not read what it includes.

    Raises ValueError if both files define the same name.
    """
    whole, monitoring = (yaml_parse(file.read_text()) for file in (TEMPLATE, MONITORING))
    for section, entries in monitoring.items():
        if twice := sorted(whole.setdefault(section, {}).keys() & entries.keys()):
            raise ValueError(f"infra/monitoring.yaml defines {', '.join(twice)}, which infra/template.yaml defines too")
        whole[section] |= entries
    return whole


def write(path):
    """Writes the template to a file. Its folder must be beside a folder target with the code of the functions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two test suites may write and read the same file at the same time.
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(yaml_dump(template()))
    return unfinished.replace(path)


def write_into_target(_asked):
    """Writes the template to target/hub.yaml, for the tools that check it."""
    write(INFRA.parent / "target" / "hub.yaml")
