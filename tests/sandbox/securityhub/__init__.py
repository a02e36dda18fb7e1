"""A substitute for AWS Security Hub CSPM, with the rules that cmkwatch relies on.

- `service` is the HTTP API.
- `findings` is the store, with the rules of import and update.
- `filters` has the filters of GetFindings.
- `asff` checks the format of a finding.
"""


def install():
    """Adds Security Hub to MiniStack.

    The import is here because unittest imports each package to look for tests. MiniStack must not
    be imported before `server.prepare`.
    """
    from . import service

    service.install()
