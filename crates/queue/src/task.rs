//! A part of a sweep.

use crate::{Message, QueueError, sender::Order};
use facts::{AccountId, BucketName, Malformed, NamePrefix, Place};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A part of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// A whole account: its buckets are to be listed.
    Account {
        /// The sweep, by the moment at which it began.
        sweep: String,
        /// The account.
        account: AccountId,
    },
    /// Some of the buckets of an account in one region.
    Buckets(Span),
}

/// The buckets of a place whose names lie in some cells, and the findings of all that ever did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The sweep, by the moment at which it began.
    pub sweep: String,
    /// Which of the parts of its account it is.
    pub part: u32,
    /// How often the rest of it was put off.
    pub hop: u32,
    /// How often it was put off because it failed as a whole.
    pub failed: u32,
    /// The account and the region.
    pub place: Place,
    /// What the names begin with.
    pub cells: Vec<Cell>,
    /// The name from which on they are not done yet; none where none is.
    pub after: Option<BucketName>,
    /// Whether findings about the account's buckets stand in the hub's own Security Hub.
    pub strays: bool,
    /// Whether it stands that the account can be watched here.
    pub readable: bool,
    /// The buckets that there were when the account was listed.
    pub buckets: Vec<BucketName>,
}

/// Some of the names that there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// They begin with one of these; at most 20. Where it ends in a slash, that is the whole name.
    pub begin_with: Vec<NamePrefix>,
    /// And not with this.
    pub but_not: Option<NamePrefix>,
}

impl Cell {
    /// Whether a name is one of them.
    #[must_use]
    pub fn contains(&self, name: &BucketName) -> bool {
        let ended = format!("{name}/");
        let begins = |prefix: &NamePrefix| ended.starts_with(prefix.as_str());
        self.begin_with.iter().any(begins) && !self.but_not.as_ref().is_some_and(begins)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    Account {
        sweep: String,
        account: String,
    },
    Buckets {
        sweep: String,
        part: u32,
        hop: u32,
        failed: u32,
        account: String,
        region: String,
        cells: Vec<WrittenCell>,
        after: Option<String>,
        strays: bool,
        readable: bool,
        buckets: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenCell {
    begin_with: Vec<String>,
    but_not: Option<String>,
}

impl WrittenCell {
    fn of(Cell { begin_with, but_not }: &Cell) -> Self {
        let begin_with = begin_with.iter().map(ToString::to_string).collect();
        Self { begin_with, but_not: but_not.as_ref().map(ToString::to_string) }
    }

    fn read(self) -> Result<Cell, Malformed> {
        let begin_with = self.begin_with.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Cell { begin_with, but_not: self.but_not.map(|text| text.parse()).transpose()? })
    }
}

impl Task {
    /// The message that asks for it. Tasks of one account are done one after another, since AWS's limits are by account and
    /// region; the very same that is asked for twice within five minutes is done once.
    ///
    /// # Errors
    /// None that is known: there is nothing in it that JSON cannot hold.
    pub fn message(&self) -> Result<Message, QueueError> {
        let body = serde_json::to_string(&self.written())?;
        let mut hash = DefaultHasher::new();
        body.hash(&mut hash);
        let (sweep, account) = match self {
            Self::Account { sweep, account } => (sweep, account),
            Self::Buckets(Span { sweep, place: Place { account, .. }, .. }) => (sweep, account),
        };
        let id = format!("{sweep}/{account}/{:016x}", hash.finish());
        Ok(Message { body, order: Some(Order { group: account.to_string(), id }), at_once: false })
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// One that is not as we write it.
    pub fn read(body: &str) -> Result<Self, QueueError> {
        Ok(match serde_json::from_str(body)? {
            Written::Account { sweep, account } => Self::Account { sweep, account: account.parse()? },
            Written::Buckets { sweep, part, hop, failed, account, region, cells, after, strays, readable, buckets } => {
                Self::Buckets(Span {
                    sweep,
                    part,
                    hop,
                    failed,
                    place: Place { account: account.parse()?, region: region.parse()? },
                    cells: cells.into_iter().map(WrittenCell::read).collect::<Result<_, _>>()?,
                    after: after.map(|name| name.parse()).transpose()?,
                    strays,
                    readable,
                    buckets: buckets.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
                })
            }
        })
    }

    fn written(&self) -> Written {
        match self {
            Self::Account { sweep, account } => Written::Account { sweep: sweep.clone(), account: account.to_string() },
            Self::Buckets(Span { sweep, part, hop, failed, place, cells, after, strays, readable, buckets }) => {
                Written::Buckets {
                    sweep: sweep.clone(),
                    part: *part,
                    hop: *hop,
                    failed: *failed,
                    account: place.account.to_string(),
                    region: place.region.to_string(),
                    cells: cells.iter().map(WrittenCell::of).collect(),
                    after: after.as_ref().map(ToString::to_string),
                    strays: *strays,
                    readable: *readable,
                    buckets: buckets.iter().map(ToString::to_string).collect(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let place = Place { account: "123456789012".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let span = Span {
            sweep: "2026-11-01T00:00:00Z".into(),
            part: 3,
            hop: 1,
            failed: 0,
            place,
            cells: vec![Cell {
                begin_with: vec!["acme-".parse().unwrap(), "acme/".parse().unwrap()],
                but_not: Some("acme-6".parse().unwrap()),
            }],
            after: Some("acme-51".parse().unwrap()),
            strays: true,
            readable: false,
            buckets: vec!["acme-51".parse().unwrap()],
        };
        let account = Task::Account { sweep: span.sweep.clone(), account: span.place.account.clone() };
        for (task, group) in [(account, "123456789012"), (Task::Buckets(span), "123456789012")] {
            let message = task.message().unwrap();
            assert_eq!(Task::read(&message.body).unwrap(), task);
            let order = message.order.unwrap();
            assert_eq!(order.group, group);
            assert!(order.id.len() <= 128);
        }
    }

    #[test]
    fn a_cell_is_told_by_beginnings() {
        let cell = Cell {
            begin_with: vec!["acme-".parse().unwrap(), "acme/".parse().unwrap()],
            but_not: Some("acme-6".parse().unwrap()),
        };
        let contained = |name: &str| cell.contains(&name.parse().unwrap());
        assert_eq!(["acme", "acme-5", "acme-66", "acme5", "acm"].map(contained), [true, true, false, false, false]);
        let everything = Cell { begin_with: vec![NamePrefix::default()], but_not: None };
        assert!(everything.contains(&"acme".parse().unwrap()));
    }

    #[test]
    fn what_is_not_as_we_write_it_is_an_error() {
        for body in ["", "{}", r#"{"task":"account","sweep":"","account":"1"}"#, r#"{"task":"account","sweep":""}"#] {
            assert!(Task::read(body).is_err(), "{body}");
        }
    }
}
