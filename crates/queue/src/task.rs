//! The message to sweep-account to sweep an account, or some of its buckets.

use crate::{QueueError, QueueMessage, sender::MessageOrder};
use facts::{AccountId, BucketName, NameRange, Place};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A unit of work of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// A whole account, whose buckets are not listed yet.
    Account {
        /// The sweep, by the moment at which it began.
        sweep: String,
        /// The account.
        account: AccountId,
        /// The time at which the account joined the organization, left it or was closed; `None` if
        /// that is not the reason for the sweep. If set, the membership of the account is read
        /// first. The role in a new account may not exist yet.
        membership_changed_at: Option<Timestamp>,
    },
    /// A part of the buckets of an account, all in one region.
    Buckets(SweepPart),
}

/// The buckets of one account and region whose names are in a range. Buckets that exist and buckets
/// that have items belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPart {
    /// The sweep, by the moment at which it began.
    pub sweep: String,
    /// The number of the part within its account.
    pub part: u32,
    /// The number of times that the rest of the part was requeued.
    pub requeues: u32,
    /// The number of times that the part was requeued because it failed as a whole.
    pub failed: u32,
    /// The account and the region.
    pub place: Place,
    /// The range of bucket names.
    pub range: NameRange,
    /// True if no sweep has adopted yet the findings that Security Hub holds for the account.
    pub is_new: bool,
    /// True if the findings that Security Hub holds are to be compared with the state.
    pub audit: bool,
    /// The buckets that existed when the account was listed. For a new account or an audit, also
    /// the buckets with findings in Security Hub.
    pub buckets: Vec<BucketName>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    Account {
        sweep: String,
        account: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        membership_changed_at: Option<String>,
    },
    Part {
        sweep: String,
        part: u32,
        requeues: u32,
        failed: u32,
        account: String,
        region: String,
        from: Option<String>,
        before: Option<String>,
        is_new: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        audit: bool,
        buckets: Vec<String>,
    },
    Buckets(EarlierPart),
}

#[derive(Serialize, Deserialize)]
struct EarlierPart {
    sweep: String,
    account: String,
}

impl Task {
    /// Returns the task of a scheduled sweep of an account, whose membership did not change.
    #[must_use]
    pub fn account(sweep: String, account: AccountId) -> Self {
        Self::Account { sweep, account, membership_changed_at: None }
    }

    /// Returns the message. Tasks of one account are done one after another, because AWS's limits
    /// are by account and region. A task that is sent twice within five minutes is done once.
    ///
    /// # Errors
    /// Returns an error if the message cannot be written as JSON, which is not known to happen.
    pub fn message(&self) -> Result<QueueMessage, QueueError> {
        let body = serde_json::to_string(&self.written())?;
        let mut hash = DefaultHasher::new();
        body.hash(&mut hash);
        let (sweep, account) = match self {
            Self::Account { sweep, account, .. } => (sweep, account),
            Self::Buckets(SweepPart { sweep, place: Place { account, .. }, .. }) => {
                (sweep, account)
            }
        };
        let id = format!("{sweep}/{account}/{:016x}", hash.finish());
        Ok(QueueMessage {
            body,
            order: Some(MessageOrder { group: account.to_string(), id }),
            delay: None,
        })
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// Returns an error if the body is malformed.
    pub fn read(body: &str) -> Result<Self, QueueError> {
        Ok(match serde_json::from_str(body)? {
            // An earlier version divided an account into other parts. The whole account is swept
            // again.
            Written::Buckets(EarlierPart { sweep, account }) => {
                Self::account(sweep, account.parse()?)
            }
            Written::Account { sweep, account, membership_changed_at } => {
                let membership_changed_at =
                    membership_changed_at.and_then(|moment| moment.parse().ok());
                Self::Account { sweep, account: account.parse()?, membership_changed_at }
            }
            Written::Part {
                sweep,
                part,
                requeues,
                failed,
                account,
                region,
                from,
                before,
                is_new,
                audit,
                buckets,
            } => Self::Buckets(SweepPart {
                sweep,
                part,
                requeues,
                failed,
                place: Place { account: account.parse()?, region: region.parse()? },
                range: NameRange {
                    from: from.map(|name| name.parse()).transpose()?,
                    before: before.map(|name| name.parse()).transpose()?,
                },
                is_new,
                audit,
                buckets: buckets.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
            }),
        })
    }

    fn written(&self) -> Written {
        match self {
            Self::Account { sweep, account, membership_changed_at } => Written::Account {
                sweep: sweep.clone(),
                account: account.to_string(),
                membership_changed_at: membership_changed_at.map(|moment| moment.to_string()),
            },
            Self::Buckets(SweepPart {
                sweep,
                part,
                requeues,
                failed,
                place,
                range,
                is_new,
                audit,
                buckets,
            }) => Written::Part {
                sweep: sweep.clone(),
                part: *part,
                requeues: *requeues,
                failed: *failed,
                account: place.account.to_string(),
                region: place.region.to_string(),
                from: range.from.as_ref().map(ToString::to_string),
                before: range.before.as_ref().map(ToString::to_string),
                is_new: *is_new,
                audit: *audit,
                buckets: buckets.iter().map(ToString::to_string).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_sent() {
        let place = Place {
            account: "123456789012".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
        };
        let part = SweepPart {
            sweep: "2026-11-01T00:00:00Z".into(),
            part: 3,
            requeues: 1,
            failed: 0,
            place,
            range: NameRange { from: Some("acme-51".parse().unwrap()), before: None },
            is_new: true,
            audit: true,
            buckets: vec!["acme-51".parse().unwrap()],
        };
        let account = Task::account(part.sweep.clone(), part.place.account.clone());
        let joined = Task::Account {
            sweep: part.sweep.clone(),
            account: part.place.account.clone(),
            membership_changed_at: Some(Timestamp::UNIX_EPOCH),
        };
        for (task, group) in [
            (account, "123456789012"),
            (joined, "123456789012"),
            (Task::Buckets(part), "123456789012"),
        ] {
            let message = task.message().unwrap();
            assert_eq!(Task::read(&message.body).unwrap(), task);
            let order = message.order.unwrap();
            assert_eq!(order.group, group);
            assert!(order.id.len() <= 128);
        }
    }

    #[test]
    fn a_part_of_an_earlier_version_becomes_its_whole_account() {
        let body = r#"{"task":"buckets","sweep":"s","account":"123456789012","region":"eu-west-1","cells":[]}"#;
        let account = Task::account("s".into(), "123456789012".parse().unwrap());
        assert_eq!(Task::read(body).unwrap(), account);
    }

    #[test]
    fn a_malformed_task_is_an_error() {
        for body in [
            "",
            "{}",
            r#"{"task":"account","sweep":"","account":"1"}"#,
            r#"{"task":"account","sweep":""}"#,
        ] {
            assert!(Task::read(body).is_err(), "{body}");
        }
    }
}
