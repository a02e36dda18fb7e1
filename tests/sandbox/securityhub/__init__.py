"""A substitute for AWS Security Hub CSPM, with the rules that cmkwatch relies on.

- `service` is the HTTP API.
- `findings` is the store, with the rules of import and update.
- `filters` has the filters of GetFindings.
- `asff` checks the format of a finding.
"""

from .service import install

__all__ = ["install"]
