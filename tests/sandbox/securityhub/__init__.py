"""A stand-in for AWS Security Hub CSPM: findings in, findings out, by the rules that cmkwatch relies on.

`service` is the HTTP API, `findings` the store with the rules of import and update, `filters` GetFindings' filters,
`asff` what a finding must look like.
"""

from .service import install

__all__ = ["install"]
