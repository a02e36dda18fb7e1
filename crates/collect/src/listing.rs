//! Which buckets an account has, and where each lies.

use crate::{Accounts, CollectError, error::Question};
use aws_sdk_s3::{Client, config::http::HttpResponse};
use facts::{AccountId, BucketId, Fact, Place, Region, Unreadable};
use futures_util::{StreamExt, stream};

/// How many buckets a page of [ListBuckets](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html) has, of at
/// most 10,000: few, so that memory does not grow with the account.
const A_PAGE: i32 = 1000;

/// How many buckets are asked for their region at once.
const AT_ONCE: usize = 8;

/// A bucket of a list. The name is as S3 tells it; whether it has the form of one is for its reader to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The region that it lies in; `None` if S3 does not tell.
    pub region: Option<Region>,
    /// Its name.
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
    /// The list of an account; nothing is called yet.
    pub async fn of(accounts: &Accounts, account: &AccountId) -> Self {
        let place = Place { account: account.clone(), region: accounts.home().region.clone() };
        Self {
            s3: accounts.clients(&place).await.s3,
            account: account.clone(),
            next: None,
            begun: false,
        }
    }

    /// The next page, which may be empty; none after the last. Unreadable where cmkwatch is refused its role in the account, or
    /// the list. 1 call, and 1 for each bucket whose region the list does not give.
    ///
    /// # Errors
    /// A call that was not answered.
    pub async fn page(&mut self) -> Result<Option<Fact<Vec<Listed>>>, CollectError> {
        if self.begun && self.next.is_none() {
            return Ok(None);
        }
        self.begun = true;
        // "BucketRegion is returned if the request contains at least one valid parameter": here, max-buckets.
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
            Err(error) => match self.question().unanswered(error) {
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

/// The region of a bucket, by [HeadBucket](https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html), whose answer names it
/// in a header, even if it refuses; `None` if it does not.
async fn region_of(s3: &Client, bucket: &str, owner: &AccountId) -> Option<Region> {
    let header =
        |response: &HttpResponse| response.headers().get("x-amz-bucket-region")?.parse().ok();
    match s3.head_bucket().bucket(bucket).expected_bucket_owner(owner.as_str()).send().await {
        Ok(answer) => answer.bucket_region?.parse().ok(),
        Err(error) => error.raw_response().and_then(header),
    }
}

/// Whether the account has the bucket, if it may know. S3 refuses whatever is asked of a bucket that is not the
/// [expected owner's](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html): somebody else may have
/// taken the name of a bucket that was deleted. True where that cannot be told.
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
            Err(error) => return question.unanswered::<bool, _, _>(error).map(|_| true),
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
    async fn pages_come_one_by_one_with_the_region_of_each_bucket() {
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
    async fn a_bucket_that_is_not_listed_is_somebody_elses() {
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

    /// The role of the members may not list objects, so HeadBucket is refused; the region is in the header all the same.
    #[tokio::test]
    async fn a_bucket_whose_region_is_not_listed_is_asked_about_and_holds_up_no_other() {
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
    async fn refused_and_unanswered_are_two_things() {
        let with = |response: fn() -> HttpResponse| {
            mock!(Client::list_buckets).then_http_response(response)
        };
        let refused = listing(&[&with(|| s3_error(403, "AccessDenied"))]).page().await.unwrap();
        assert!(matches!(refused, Some(Fact::Unreadable(_))), "{refused:?}");
        let unanswered = listing(&[&with(|| s3_error(400, "ExpiredToken"))]).page().await;
        assert!(matches!(unanswered, Err(CollectError::Call { .. })), "{unanswered:?}");
    }
}
