//! Lists the buckets of an account, each with its region.

use crate::{Accounts, CollectError, error::Question};
use aws_sdk_s3::{Client, config::http::HttpResponse};
use facts::{AccountId, BucketId, Fact, Place, Region, Unreadable};
use futures_util::{StreamExt, stream};

/// The most buckets in a page of
/// [ListBuckets](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html). S3 allows
/// 10,000. A small page keeps memory from growing with the account.
const A_PAGE: i32 = 1000;

/// The most buckets whose regions are read at once.
const AT_ONCE: usize = 8;

/// A bucket of a list. The name is as S3 returns it, and its form is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The region of the bucket; `None` if S3 does not name it.
    pub region: Option<Region>,
    /// The name of the bucket.
    pub name: String,
}

/// The buckets of an account, page by page.
#[derive(Debug)]
pub struct Listing {
    s3: Client,
    account: AccountId,
    next: Option<String>,
    begun: bool,
}

impl Listing {
    /// Starts the list of an account. Makes no call.
    pub async fn of(accounts: &Accounts, account: &AccountId) -> Self {
        let place = Place { account: account.clone(), region: accounts.home().region.clone() };
        Self {
            s3: accounts.clients(&place).await.s3,
            account: account.clone(),
            next: None,
            begun: false,
        }
    }

    /// Returns the next page, which may be empty, or `None` after the last one. The page is
    /// unreadable if AWS refuses the role in the account, or the list. Takes 1 call, and 1 for each
    /// bucket whose region the list does not name.
    ///
    /// # Errors
    /// Returns an error if the call fails without a refusal.
    pub async fn page(&mut self) -> Result<Option<Fact<Vec<Listed>>>, CollectError> {
        if self.begun && self.next.is_none() {
            return Ok(None);
        }
        self.begun = true;
        // "BucketRegion is returned if the request contains at least one valid parameter": here,
        // max-buckets.
        let request =
            self.s3.list_buckets().max_buckets(A_PAGE).set_continuation_token(self.next.take());
        match request.send().await {
            Ok(page) => {
                self.next = page.continuation_token.filter(|token| !token.is_empty());
                let named = page.buckets.unwrap_or_default().into_iter().filter_map(|bucket| {
                    let region = bucket.bucket_region.and_then(|region| region.parse().ok());
                    Some(Listed { region, name: bucket.name? })
                });
                let listed =
                    stream::iter(named).map(|bucket| self.with_region(bucket)).buffered(AT_ONCE);
                Ok(Some(Fact::Known(listed.collect().await)))
            }
            Err(error) => match self.question().classify(error) {
                Err(error) if error.is_refused_role() => {
                    Ok(Some(Fact::Unreadable(self.refused_role())))
                }
                answer => answer.map(Some),
            },
        }
    }

    async fn with_region(&self, Listed { region, name }: Listed) -> Listed {
        let region = match region {
            None => region_of(&self.s3, &name, &self.account).await,
            region => region,
        };
        Listed { region, name }
    }

    fn question(&self) -> Question {
        Question { permission: "s3:ListAllMyBuckets", subject: format!("account {}", self.account) }
    }

    fn refused_role(&self) -> Unreadable {
        let subject = format!("the role in account {}", self.account);
        Unreadable { permission: "sts:AssumeRole", subject, code: "AccessDenied".to_owned() }
    }
}

/// Reads the region of a bucket with
/// [HeadBucket](https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html). Even a
/// refusal names the region in a header. Returns `None` if the answer names none.
async fn region_of(s3: &Client, bucket: &str, owner: &AccountId) -> Option<Region> {
    let header =
        |response: &HttpResponse| response.headers().get("x-amz-bucket-region")?.parse().ok();
    match s3.head_bucket().bucket(bucket).expected_bucket_owner(owner.as_str()).send().await {
        Ok(answer) => answer.bucket_region?.parse().ok(),
        Err(error) => error.raw_response().and_then(header),
    }
}

/// Returns true if the account lists the bucket, or if S3 refuses the list.
///
/// S3 refuses every call for a bucket that is not the [expected
/// owner's](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html).
/// Another account may have taken the name of a bucket that was deleted.
pub(crate) async fn has(s3: &Client, id: &BucketId) -> Result<bool, CollectError> {
    let question = Question {
        permission: "s3:ListAllMyBuckets",
        subject: format!("account {}", id.account()),
    };
    let mut next = None;
    loop {
        let request = s3
            .list_buckets()
            .max_buckets(A_PAGE)
            .prefix(id.name().as_str())
            .set_continuation_token(next);
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) => return question.classify::<bool, _, _>(error).map(|_| true),
        };
        if page
            .buckets
            .unwrap_or_default()
            .iter()
            .any(|bucket| bucket.name() == Some(id.name().as_str()))
        {
            return Ok(true);
        }
        next = page.continuation_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, bucket, s3_error};
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    fn listing(rules: &[&Rule]) -> Listing {
        let s3 = mock_client!(aws_sdk_s3, RuleMode::Sequential, rules);
        Listing { s3, account: "111111111111".parse().unwrap(), next: None, begun: false }
    }

    fn page(entries: &str, token: &str) -> HttpResponse {
        let token = if token.is_empty() {
            String::new()
        } else {
            format!("<ContinuationToken>{token}</ContinuationToken>")
        };
        answer(
            200,
            &format!(
                "<ListAllMyBucketsResult><Buckets>{entries}</Buckets>{token}</ListAllMyBucketsResult>"
            ),
        )
    }

    #[tokio::test]
    async fn pages_are_read_one_by_one_with_the_region_of_each_bucket() {
        const FIRST: &str =
            "<Bucket><Name>acme</Name><BucketRegion>eu-west-1</BucketRegion></Bucket>";
        let first = mock!(Client::list_buckets)
            .match_requests(|request| {
                request.max_buckets() == Some(1000) && request.continuation_token().is_none()
            })
            .then_http_response(|| page(FIRST, "more"));
        let second = mock!(Client::list_buckets)
            .match_requests(|request| request.continuation_token() == Some("more"))
            .then_http_response(|| page("", ""));
        let mut listing = listing(&[&first, &second]);
        let acme = Listed { region: "eu-west-1".parse().ok(), name: "acme".into() };
        assert_eq!(listing.page().await.unwrap(), Some(Fact::Known(vec![acme])));
        assert_eq!(listing.page().await.unwrap(), Some(Fact::Known(vec![])));
        assert_eq!(listing.page().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_bucket_that_is_not_listed_belongs_to_another_account() {
        let with = |response: fn() -> HttpResponse| {
            mock!(Client::list_buckets).then_http_response(response)
        };
        let answers: [(fn() -> HttpResponse, bool); 4] = [
            (|| page("<Bucket><Name>acme</Name></Bucket>", ""), true),
            (|| page("<Bucket><Name>acme-2</Name></Bucket>", ""), false),
            (|| page("", ""), false),
            (|| s3_error(403, "AccessDenied"), true),
        ];
        for (response, expected) in answers {
            let s3 = mock_client!(aws_sdk_s3, RuleMode::Sequential, [&with(response)]);
            assert_eq!(has(&s3, &bucket()).await.unwrap(), expected);
        }
        let pages = [
            with(|| page("<Bucket><Name>acme-2</Name></Bucket>", "more")),
            with(|| page("<Bucket><Name>acme</Name></Bucket>", "")),
        ];
        let s3 = mock_client!(aws_sdk_s3, RuleMode::Sequential, [&pages[0], &pages[1]]);
        assert!(has(&s3, &bucket()).await.unwrap());
        let s3 = mock_client!(
            aws_sdk_s3,
            RuleMode::Sequential,
            [&with(|| s3_error(400, "ExpiredToken"))]
        );
        assert!(has(&s3, &bucket()).await.is_err());
    }

    /// The member role may not list objects, so S3 refuses HeadBucket. The region is in the header
    /// of the refusal.
    #[tokio::test]
    async fn a_region_that_is_not_listed_is_read_from_the_bucket_and_blocks_no_other() {
        const BUCKETS: &str = "<Bucket><Name>first</Name></Bucket>\
                               <Bucket><Name>second</Name><BucketRegion>Mars!</BucketRegion></Bucket>\
                               <Bucket><Name>third</Name><BucketRegion>eu-west-1</BucketRegion></Bucket>";
        let refused = |region: Option<&'static str>| {
            move || {
                let mut response = answer(403, "");
                if let Some(region) = region {
                    response.headers_mut().insert("x-amz-bucket-region", region);
                }
                response
            }
        };
        let head = |bucket: &'static str, region| {
            mock!(Client::head_bucket)
                .match_requests(move |request| request.bucket() == Some(bucket))
                .then_http_response(refused(region))
        };
        let list = mock!(Client::list_buckets).then_http_response(|| page(BUCKETS, ""));
        let (first, second) = (head("first", Some("ap-south-2")), head("second", None));
        let Some(Fact::Known(found)) = listing(&[&list, &first, &second]).page().await.unwrap()
        else {
            panic!()
        };
        let found: Vec<_> =
            found.iter().map(|bucket| bucket.region.as_ref().map(Region::as_str)).collect();
        assert_eq!(found, [Some("ap-south-2"), None, Some("eu-west-1")]);
    }

    #[tokio::test]
    async fn a_refused_list_is_unreadable_and_a_failed_one_is_an_error() {
        let with = |response: fn() -> HttpResponse| {
            mock!(Client::list_buckets).then_http_response(response)
        };
        let refused = listing(&[&with(|| s3_error(403, "AccessDenied"))]).page().await.unwrap();
        assert!(matches!(refused, Some(Fact::Unreadable(_))), "{refused:?}");
        let classify = listing(&[&with(|| s3_error(400, "ExpiredToken"))]).page().await;
        assert!(matches!(classify, Err(CollectError::Call { .. })), "{classify:?}");
    }
}
