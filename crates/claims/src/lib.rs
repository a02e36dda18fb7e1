//! The table of sent alerts, and of the runs that are sending one.
//!
//! Each alerted finding has one row: the latest change that was decided, and the state that people
//! know. Before a run sends a message, it claims the row by a [conditional
//! write](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate).
//! Afterwards it records that the message was sent. So two runs, or an event that is delivered
//! twice, do not send the message twice. A message may be sent again only in two cases: the run
//! dies between sending and recording, or the answer to either call is lost.
//!
//! Rows expire 35 days after the last decision, by DynamoDB's [time to
//! live](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html). A change that
//! is older than 30 days is never alerted, so an expired row is not missed.
//!
//! The crate `alerts` decides whether a change is alerted. This crate only stores the decision.

mod row;
mod table;

pub use table::{Claimed, Claims, ClaimsError};
