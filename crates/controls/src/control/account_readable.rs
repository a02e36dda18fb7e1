//! The control `account-readable`: cmkwatch can read the account's buckets, and Security Hub is
//! enabled there.
//!
//! An account that cannot be read has no findings, so it looks as good as an account without
//! failures. This finding shows the difference. The finding is stored in the hub's own Security
//! Hub, and is about an account in one region, because [Security Hub is enabled by
//! region](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-settingup.html).

use crate::{Control, Evidence, Level, Outcome, Rule, Severity};
use facts::{Account, Fact};

/// The control `account-readable`.
pub(crate) const ACCOUNT_READABLE: Control = Control {
    slug: "account-readable",
    level: Level::SseS3,
    severity: Severity::High,
    title: "Accounts of the organization should be readable by cmkwatch, with Security Hub enabled",
    holds_when: "cmkwatch can list the account's buckets with its role there, and Security Hub is enabled in the region",
    why: "An account that cannot be read is not watched. A bucket there can drift, and nobody is \
          alerted.",
    reference: "https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-settingup.html",
    requirements: &[],
    remediation: "Deploy infra/member.yaml in the account and region, and in the home region, \
          which creates its role. Look for a service control policy that refuses the role \
          cmkwatch-member. Enable Security Hub CSPM in the account and region. Until then, \
          the findings of its buckets are stored in the Security Hub of the account in which \
          cmkwatch runs.",
    calls: &[],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Account(check),
};

/// Judges an account. Buckets that could not be read are the failure itself. Only the state of
/// Security Hub can be unknown.
pub(crate) fn check(account: &Account) -> Outcome {
    if let Fact::Unreadable(answer) = &account.buckets {
        return failed(Evidence::AccountAccess { answer: answer.clone() });
    }
    match &account.security_hub {
        Fact::Known(true) => Outcome::Passed(vec![Evidence::SecurityHub { enabled: true }]),
        Fact::Known(false) => failed(Evidence::SecurityHub { enabled: false }),
        Fact::Unreadable(why) => Outcome::unreadable(why),
    }
}

fn failed(evidence: Evidence) -> Outcome {
    Outcome::Failed { severity: ACCOUNT_READABLE.severity, evidence: vec![evidence] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::denied;
    use facts::Place;
    use jiff::Timestamp;

    fn account(buckets: Fact<()>, security_hub: Fact<bool>) -> Account {
        let place = Place {
            account: "111111111111".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        Account { place, read_at: Timestamp::UNIX_EPOCH, buckets, security_hub }
    }

    #[test]
    fn outcomes() {
        let (read, on) = (Fact::Known(()), Fact::Known(true));
        assert!(matches!(check(&account(read.clone(), on.clone())), Outcome::Passed(_)));
        assert!(matches!(
            check(&account(read.clone(), Fact::Known(false))),
            Outcome::Failed { .. }
        ));
        let closed = denied("securityhub:GetFindings");
        assert_eq!(
            check(&account(read, Fact::Unreadable(closed.clone()))),
            Outcome::unreadable(&closed)
        );
        let Outcome::Failed { severity, evidence } =
            check(&account(Fact::Unreadable(denied("sts:AssumeRole")), on))
        else {
            panic!()
        };
        assert_eq!(
            (severity, evidence[0].value().as_str()),
            (Severity::High, "AccessDenied (sts:AssumeRole on bucket acme)")
        );
    }
}
