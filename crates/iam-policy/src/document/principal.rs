//! The elements
//! [`Principal`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html)
//! and
//! [`NotPrincipal`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html).

use super::one_or_many::Texts;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use std::fmt;

/// A principal that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// `"*"` or `{"AWS": "*"}`: everyone, including anonymous callers.
    Anyone,
    /// An account, by its ARN (`arn:aws:iam::123456789012:root`) or its 12 digits: the identities
    /// that the account's own policies allow.
    Account(String),
    /// A user, role, session of a role or federated user, by its ARN.
    Identity {
        /// The whole ARN.
        arn: String,
        /// The account in the ARN.
        account: String,
    },
    /// A deleted identity. AWS shows its unique id (`AROA...`) in place of its ARN. The principal
    /// admits nobody, not even a new identity of the same name.
    Deleted(String),
    /// An AWS service: `logging.s3.amazonaws.com`.
    Service(String),
    /// An identity provider.
    Federated(String),
    /// An account, by its canonical user id. Or a CloudFront [origin access
    /// identity](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-s3.html),
    /// by its canonical user id or its ARN.
    CanonicalUser(String),
}

/// The beginning of the resource in the ARN of an origin access identity. The account of that ARN
/// is the word `cloudfront`.
const ORIGIN_ACCESS_IDENTITY: &str = "user/CloudFront Origin Access Identity ";

/// Prefixes of the [unique
/// ids](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids)
/// of users and roles, and of the ids of temporary access keys.
const ID_PREFIXES: [&str; 3] = ["AIDA", "AROA", "ASIA"];

impl Principal {
    /// Reads a principal as a policy names it under `AWS`: `*`, an account, an ARN or a unique id.
    ///
    /// # Errors
    /// Returns the text if it is none of these.
    pub fn aws(text: String) -> Result<Self, String> {
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if text == "*" {
            return Ok(Self::Anyone);
        }
        if is_account(&text) {
            return Ok(Self::Account(text));
        }
        if let ["arn", _, "iam", "", "cloudfront", resource] =
            text.splitn(6, ':').collect::<Vec<_>>()[..]
            && resource.starts_with(ORIGIN_ACCESS_IDENTITY)
        {
            return Ok(Self::CanonicalUser(text));
        }
        if let ["arn", _, "iam" | "sts", "", account, resource] =
            text.splitn(6, ':').collect::<Vec<_>>()[..]
            && is_account(account)
            && !resource.is_empty()
        {
            let account = account.to_owned();
            return Ok(if resource == "root" {
                Self::Account(account)
            } else {
                Self::Identity { arn: text, account }
            });
        }
        let is_unique_id = ID_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            && (16..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if is_unique_id { Ok(Self::Deleted(text)) } else { Err(text) }
    }
}

/// Writes the principal as a policy names it.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "*",
            Self::Identity { arn: text, .. }
            | Self::Account(text)
            | Self::Deleted(text)
            | Self::Service(text)
            | Self::Federated(text)
            | Self::CanonicalUser(text) => text,
        })
    }
}

/// The value of `Principal` or `NotPrincipal`.
#[derive(Debug)]
pub(super) struct Principals(pub(super) Vec<Principal>);

impl<'de> Deserialize<'de> for Principals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PrincipalsVisitor)
    }
}

struct PrincipalsVisitor;

impl<'de> Visitor<'de> for PrincipalsVisitor {
    type Value = Principals;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`\"*\"` or an object of AWS, Service, Federated or CanonicalUser")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Principals, E> {
        match text {
            "*" => Ok(Principals(vec![Principal::Anyone])),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Principals, A::Error> {
        let mut principals = Vec::new();
        let mut seen = Vec::new();
        while let Some(kind) = map.next_key::<String>()? {
            if seen.contains(&kind) {
                return Err(de::Error::custom(format_args!("`{kind}` occurs twice")));
            }
            let Texts(names) = map.next_value()?;
            for name in names {
                principals.push(named(&kind, name).map_err(de::Error::custom)?);
            }
            seen.push(kind);
        }
        Ok(Principals(principals))
    }
}

fn named(kind: &str, name: String) -> Result<Principal, String> {
    match kind {
        "AWS" => Principal::aws(name).map_err(|name| {
            format!("`{name}` is neither an account, nor the ARN of an identity, nor `*`")
        }),
        "Service" => Ok(Principal::Service(name)),
        "Federated" => Ok(Principal::Federated(name)),
        "CanonicalUser" => Ok(Principal::CanonicalUser(name)),
        other => Err(format!(
            "`{other}` is no kind of principal; AWS, Service, Federated and CanonicalUser are"
        )),
    }
}
