//! Roles in the sandbox: their permissions, and the principals that may assume them.

use crate::{Place, sandbox};
use aws_credential_types::Credentials;
use aws_sdk_sts::error::DisplayErrorContext;

impl Place {
    /// Returns the same place, seen with the credentials of a role.
    ///
    /// # Errors
    /// Returns the error of AssumeRole if the role may not be assumed.
    pub async fn assume(&self, role: &str) -> Result<Self, String> {
        let request = aws_sdk_sts::Client::new(&self.config)
            .assume_role()
            .role_arn(role)
            .role_session_name("test");
        let session =
            request.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        let answer = session.credentials.unwrap();
        let token = Some(answer.session_token);
        let credentials =
            Credentials::new(answer.access_key_id, answer.secret_access_key, token, None, "test");
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        let config = self.config.to_builder().credentials_provider(provider).build();
        Ok(Self { config, ..self.clone() })
    }

    /// Reads a queue's attributes. Without TLS, the request has a header that says so to the
    /// sandbox.
    ///
    /// # Errors
    /// Returns the error of GetQueueAttributes if the call is refused.
    pub async fn asks_for_queue(&self, name: &str, with_tls: bool) -> Result<(), String> {
        let url = sandbox().changes_queue_url.replace("cmkwatch-changes", name);
        let request = aws_sdk_sqs::Client::new(&self.config).get_queue_attributes().queue_url(url);
        let request = request.customize().mutate_request(move |request| {
            if !with_tls {
                request.headers_mut().insert("x-sandbox-without-tls", "true");
            }
        });
        request.send().await.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Makes a role with a trust policy and a permission policy. Returns the same place, seen with
    /// the role's credentials.
    pub async fn make_role(&self, role: &str, trust: &str, policy: &str) -> Self {
        self.aws(
            "iam",
            &["create-role", "--role-name", role, "--assume-role-policy-document", trust],
        );
        self.put_role_policy(role, "test", policy);
        self.assume(&format!("arn:aws:iam::{}:role/{role}", self.account)).await.unwrap()
    }

    /// Replaces the trust policy of a role.
    pub fn trust(&self, role: &str, trust: &str) {
        self.aws(
            "iam",
            &["update-assume-role-policy", "--role-name", role, "--policy-document", trust],
        );
    }

    /// Puts a policy of a role. The AWS CLI would take a second for that. The signature is invalid,
    /// but the sandbox looks only at the access key.
    pub fn put_role_policy(&self, role: &str, policy: &str, document: &str) {
        let scope = format!("{}/20260101/{}/iam/aws4_request", self.account, self.region);
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let form = [
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", role),
            ("PolicyName", policy),
            ("PolicyDocument", document),
        ];
        let answer = ureq::post(&sandbox().endpoint)
            .header("Authorization", signed)
            .send_form(form)
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
}
