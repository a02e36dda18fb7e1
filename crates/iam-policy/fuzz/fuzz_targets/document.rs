//! Fuzzes the reading of a policy with any text.
#![no_main]

use iam_policy::Policy;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(policy) = text.parse::<Policy>() {
        let names = (0..=policy.statements.len()).map(|statement| policy.name(statement));
        assert_eq!(names.count(), policy.statements.len() + 1);
    }
});
