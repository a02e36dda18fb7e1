//! Finds the account that an event of Organizations is about.
//!
//! Follows [logging Organizations with
//! CloudTrail](https://docs.aws.amazon.com/organizations/latest/userguide/orgs_cloudtrail-integration.html).
//! The event only names the account. The sweep asks whether the account is in the organization.

use crate::{error::ChangeError, record::Record};
use facts::AccountId;
use jiff::Timestamp;
use queue::MembershipChange;
use serde_json::Value;

/// The events of an account that joins the organization, leaves it or is closed. All but one are
/// service events, which the management account receives.
pub const ACCOUNT_CALLS: [&str; 5] = [
    "AccountJoinedOrganization",
    "AccountDepartedOrganization",
    "CreateAccountResult",
    "CloseAccountResult",
    "RemoveAccountFromOrganization",
];

/// Returns the account that an event of [`ACCOUNT_CALLS`] is about, or `None` if the operation did
/// not succeed.
pub(crate) fn change(
    call: &'static str,
    record: Record<'_>,
) -> Result<Option<MembershipChange>, ChangeError> {
    let details = ["/serviceEventDetails", "/requestParameters", "/responseElements"];
    let details: Vec<_> = details.iter().filter_map(|pointer| record.value(pointer)).collect();
    if call.ends_with("Result")
        && details
            .iter()
            .find_map(|value| text_of(value, "state"))
            .is_some_and(|state| state != "SUCCEEDED")
    {
        return Ok(None);
    }
    let account = details.iter().find_map(|value| text_of(value, "accountId"));
    let account =
        account.ok_or_else(|| ChangeError::Lacks { call: call.to_owned(), what: "account" })?;
    let account: AccountId = account
        .parse()
        .map_err(|source| ChangeError::Malformed { call: call.to_owned(), source })?;
    let changed_at = record
        .text("/eventTime")
        .and_then(|time| time.parse().ok())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some(MembershipChange { account, changed_at }))
}

/// Returns the first text field of a name at any depth, because the events have the field in
/// different places. Ignores case.
fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let fields = value.as_object()?;
    let here = fields
        .iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_str());
    here.or_else(|| fields.values().find_map(|value| text_of(value, name)))
}
