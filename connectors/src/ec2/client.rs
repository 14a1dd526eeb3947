//! Requests to AWS as one account, signed, and their replies; no RADL.

use super::{fault, replies::Paged, request::Call, sign};
use crate::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{Client, HttpSettings, Method, Page, Patience, Reply, Url, all_pages, base_url},
};
use serde::de::DeserializeOwned;
use std::{collections::HashMap, sync::Arc, sync::Mutex, sync::PoisonError, time::Duration};

/// The region of lines and places that name none.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// How long something that was just made may be unknown to other parts of the cloud.
const UNTIL_KNOWN: Patience =
    Patience { first: Duration::from_millis(500), longest: Duration::from_secs(4), deadline: Duration::from_secs(20) };

/// What requests are signed with.
#[derive(Clone)]
pub(super) struct Secrets {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) token: Option<String>,
}

/// AWS as one account sees it, in all regions.
pub(super) struct Api {
    settings: HttpSettings,
    account: CloudAccount,
    secrets: Secrets,
    /// A client for each server, made at its first use.
    clients: Mutex<HashMap<Url, Client>>,
}

impl Api {
    pub(super) fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let field = |name: &str| account.field(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(access_key), Some(secret_key)) = (field("username"), field("password")) else {
            let text =
                "No correct auth data has been specified to EC2.: username (Access Key) and password (Secret Key)";
            return Err(ConnectorError::new(ErrorClass::Auth, text));
        };
        let api = Self {
            settings: settings.clone(),
            account: account.clone(),
            secrets: Secrets { access_key, secret_key, token: field("token") },
            clients: Mutex::default(),
        };
        // What is wrong with the line is told now, not at the first request.
        api.client("ec2", api.default_region())?;
        Ok(api)
    }

    /// The region where nothing else names one.
    pub(super) fn default_region(&self) -> &str {
        self.account.field("region").unwrap_or(DEFAULT_REGION)
    }

    /// The client of a service in a region.
    fn client(&self, service: &str, region: &str) -> Result<Client, ConnectorError> {
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if region.is_empty() || !is_name(region) {
            return Err(ConnectorError::new(ErrorClass::Invalid, format!("Incorrect region name: {region}")));
        }
        let url = if self.account.endpoint.server.is_empty() {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            let url = format!("https://{service}.{region}.{domain}/");
            Url::parse(&url).map_err(|_| ConnectorError::new(ErrorClass::Invalid, format!("No URL: {url}")))?
        } else {
            base_url(&self.account, "https", None)?
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(&url) {
            return Ok(known.clone());
        }
        let made = Client::new(&self.settings, &self.account, url.clone())?.reading_faults(fault::read);
        clients.insert(url, made.clone());
        Ok(made)
    }

    /// Sends a signed request. Where the clock of this host was the reason of a refusal, it is sent once more.
    async fn send(
        &self,
        service: &str,
        region: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Reply, ConnectorError> {
        let client = self.client(service, region)?;
        let url = client.url([]);
        let signed = |time| {
            let place = ("POST", url.as_str());
            let signature = sign::headers(&self.secrets, (service, region), place, headers, body.as_bytes(), time)?;
            let mut request = client.request_url(Method::POST, url.clone()).body(body.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            for (name, value) in signature {
                request = request.header(name, value);
            }
            Ok::<_, ConnectorError>(request)
        };
        let time = sign::now();
        let result = client.send(signed(time)?).await;
        let corrected = sign::now();
        let elapsed = corrected.duration_since(time).unwrap_or(Duration::MAX);
        // Time that has jumped is a clock that was set; requests themselves end within their time limit.
        if result.is_err() && elapsed > self.settings.connect_timeout + self.settings.read_timeout {
            return client.send(signed(corrected)?).await;
        }
        result
    }

    /// One action of EC2 and its reply.
    pub(super) async fn call<T: DeserializeOwned>(&self, region: &str, call: &Call) -> Result<T, ConnectorError> {
        let reply = self.send("ec2", region, &[("content-type", FORM)], call.body()).await?;
        quick_xml::de::from_reader(&*reply.body).map_err(|error| {
            let text = format!("EC2 answers {} with something else than expected: {error}", call.action);
            ConnectorError::new(ErrorClass::Transient, text)
        })
    }

    /// One action whose reply says nothing.
    pub(super) async fn run(&self, region: &str, call: &Call) -> Result<(), ConnectorError> {
        self.send("ec2", region, &[("content-type", FORM)], call.body()).await.map(drop)
    }

    /// One action that makes use of what was just made: it is repeated while the cloud does not know that yet.
    pub(super) async fn run_once_known(&self, region: &str, call: &Call) -> Result<(), ConnectorError> {
        known(|| self.run(region, call)).await
    }

    /// As [`Api::run_once_known`], with a reply.
    pub(super) async fn call_once_known<T: DeserializeOwned>(
        &self,
        region: &str,
        call: &Call,
    ) -> Result<T, ConnectorError> {
        known(|| self.call(region, call)).await
    }

    /// One action that deletes; what is missing is a success.
    pub(super) async fn delete(&self, region: &str, call: &Call) -> Result<(), ConnectorError> {
        match self.run(region, call).await {
            Err(error) if error.class == ErrorClass::NotFound => Ok(()),
            result => result,
        }
    }

    /// A list, all pages of it.
    pub(super) async fn list<P: Paged>(&self, region: &str, call: Call) -> Result<Vec<P::Item>, ConnectorError> {
        let call = call.with("MaxResults", P::PAGE);
        all_pages(async |next: Option<Arc<str>>| {
            let reply: P = self.call(region, &call.clone().with_some("NextToken", next)).await?;
            let (items, next) = reply.page();
            Ok(Page { items, next: next.filter(|token| !token.is_empty()).map(Arc::from) })
        })
        .await
    }

    /// An answer that is one page by itself: lists that have no pages, or whose ids are asked for.
    pub(super) async fn look<P: Paged>(&self, region: &str, call: &Call) -> Result<Vec<P::Item>, ConnectorError> {
        Ok(self.call::<P>(region, call).await?.page().0)
    }

    /// One operation of Service Quotas, which speaks JSON.
    pub(super) async fn quota(&self, region: &str, service: &str, code: &str) -> Result<f64, ConnectorError> {
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "ServiceQuotasV20190624.GetServiceQuota"),
        ];
        let body = serde_json::json!({"ServiceCode": service, "QuotaCode": code}).to_string();
        let reply: serde_json::Value = self.send("servicequotas", region, &headers, body).await?.json()?;
        reply["Quota"]["Value"].as_f64().ok_or_else(|| ConnectorError::new(ErrorClass::NotFound, "No such quota"))
    }
}

/// Repeats what is `NotFound` for a while.
async fn known<T, F>(act: impl Fn() -> F) -> Result<T, ConnectorError>
where
    F: Future<Output = Result<T, ConnectorError>>,
{
    let mut pause = UNTIL_KNOWN.first;
    let end = tokio::time::Instant::now() + UNTIL_KNOWN.deadline;
    loop {
        match act().await {
            Err(error) if error.class == ErrorClass::NotFound && tokio::time::Instant::now() + pause < end => {
                tokio::time::sleep(pause).await;
                pause = pause.mul_f64(1.5).min(UNTIL_KNOWN.longest);
            }
            result => return result,
        }
    }
}
