//! Reads the fields of a CloudTrail record: the resource, the account, the region and the caller of
//! an API call.
//!
//! Records differ between services, API versions and years
//! ([contents](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html)).
//! So every field is optional until it is needed. A text field that is blank counts as missing.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use findings::ApiCall;
use serde_json::Value;
use std::borrow::Cow;

/// An event that carries a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a>(pub(crate) &'a EventBridgeEvent);

/// A resource that a record names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordResource<'a> {
    pub(crate) arn: &'a str,
    /// The owner of the resource. `None` if the record does not name one.
    pub(crate) account: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Returns a text field of the record.
    pub(crate) fn text(self, pointer: &str) -> Option<&'a str> {
        text(&self.0.detail, pointer)
    }

    /// Returns a field of the record.
    pub(crate) fn value(self, pointer: &str) -> Option<&'a Value> {
        self.0.detail.pointer(pointer)
    }

    /// Returns a text field, or a whole number that was text before CloudTrail wrote it as JSON.
    /// `None` if a number exceeds 64 bits, because JSON keeps too few of its digits.
    pub(crate) fn text_or_number(self, pointer: &str) -> Option<Cow<'a, str>> {
        match self.0.detail.pointer(pointer)? {
            Value::Number(number) => number.as_u64().map(|number| number.to_string().into()),
            _ => self.text(pointer).map(Cow::Borrowed),
        }
    }

    /// Returns true if the call failed.
    pub(crate) fn failed(self) -> bool {
        self.0.detail.get("errorCode").is_some_and(|code| !code.is_null())
    }

    /// Returns the resources that have an ARN.
    pub(crate) fn resources(self) -> impl Iterator<Item = RecordResource<'a>> {
        let all = self.0.detail.get("resources").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|resource| {
            Some(RecordResource {
                arn: text(resource, "/ARN")?,
                account: text(resource, "/accountId"),
            })
        })
    }

    /// Returns the account that received this copy of the record.
    pub(crate) fn recipient(self) -> Option<&'a str> {
        self.text("/recipientAccountId").or(self.0.account.as_deref())
    }

    /// Returns the region in which the call was made.
    pub(crate) fn region(self) -> Option<&'a str> {
        self.text("/awsRegion").or(self.0.region.as_deref())
    }

    /// Returns the call with its caller and time. If no caller is named, the service that made the
    /// call counts as the caller.
    pub(crate) fn api_call(self, name: &str) -> ApiCall {
        let owned = |pointer| self.text(pointer).map(str::to_owned);
        let named = self.principal();
        let invoked_by = owned("/userIdentity/invokedBy");
        let (principal, invoked_by) =
            if named.is_some() { (named, invoked_by) } else { (invoked_by, None) };
        ApiCall {
            event_name: name.to_owned(),
            event_id: owned("/eventID"),
            event_time: owned("/eventTime"),
            principal,
            invoked_by,
        }
    }

    /// Returns the caller, by
    /// [userIdentity](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html).
    /// `None` if that names nobody, as for a service that acts for itself. The owner's copy of a
    /// call from another account has no ARN, and an anonymous call has an empty id.
    fn principal(self) -> Option<String> {
        let field = |name: &str| self.text(&format!("/userIdentity/{name}"));
        if let Some(arn) = field("arn") {
            return Some(arn.to_owned());
        }
        let account = field("accountId");
        if account == Some("ANONYMOUS_PRINCIPAL") {
            return Some("an anonymous caller".to_owned());
        }
        if let Some(user) = field("onBehalfOf/userId") {
            return Some(format!("user {user} of IAM Identity Center"));
        }
        let id = field("principalId").or_else(|| field("userName"));
        match (id, account) {
            (Some(id), Some(account)) => Some(format!("{id} of account {account}")),
            (Some(id), None) => Some(id.to_owned()),
            (None, Some(account)) if field("invokedBy").is_none() => {
                Some(format!("account {account}"))
            }
            (None, _) => None,
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}
