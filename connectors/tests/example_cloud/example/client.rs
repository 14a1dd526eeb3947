//! Requests and replies of the tiny cloud's API; no RADL.

use async_trait::async_trait;
use connectors::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{
        Authority, Client, Handle, HttpSettings, Method, Page, Progress, Token, Url, all_pages, base_url,
        header::HeaderName,
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The API as one account sees it.
pub struct Api {
    client: Client,
}

#[derive(Debug, Deserialize)]
pub struct Machine {
    pub id: String,
    pub name: String,
    pub infrastructure: String,
    pub state: String,
    pub address: String,
    pub size: String,
    /// The job that deletes it, while that is under way.
    pub job: Option<Handle>,
}

#[derive(Debug, Serialize)]
pub struct Order {
    pub name: String,
    pub infrastructure: String,
    pub image: String,
    pub size: String,
    pub user_data: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Size {
    pub name: String,
    pub cores: u32,
    pub mebibytes: u64,
}

#[derive(Deserialize)]
struct Deletion {
    job: Handle,
}

#[derive(Deserialize)]
struct Job {
    done: bool,
}

impl Api {
    pub fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let client = Client::new(settings, account, base_url(account, "https", None)?)?;
        let secret = |key: &str| account.field(key).map(str::to_owned);
        let (Some(user), Some(password)) = (secret("username"), secret("password")) else {
            let text = "No correct auth data has been specified to Example.: username and password";
            return Err(ConnectorError::new(ErrorClass::Auth, text));
        };
        let login = Login { client: client.clone(), user, password };
        Ok(Self { client: client.with_authority(login) })
    }

    pub async fn images(&self) -> Result<Vec<Image>, ConnectorError> {
        self.client.send(self.client.request(Method::GET, ["images"])).await?.json()
    }

    pub async fn sizes(&self) -> Result<Vec<Size>, ConnectorError> {
        self.client.send(self.client.request(Method::GET, ["sizes"])).await?.json()
    }

    pub async fn machines(&self, infrastructure: &str) -> Result<Vec<Machine>, ConnectorError> {
        let first = self.client.url(["machines"]);
        all_pages(async |next: Option<Url>| {
            let url = next.clone().unwrap_or_else(|| first.clone());
            let mut request = self.client.request_url(Method::GET, url.clone());
            if next.is_none() {
                request = request.query(&[("infrastructure", infrastructure)]);
            }
            let reply = self.client.send(request).await?;
            Ok(Page { items: reply.json()?, next: reply.next_link(&url) })
        })
        .await
    }

    /// The machine of this id; none where there is none.
    pub async fn machine(&self, id: &str) -> Result<Option<Machine>, ConnectorError> {
        match self.client.send(self.client.request(Method::GET, ["machines", id])).await {
            Ok(reply) => reply.json().map(Some),
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn make(&self, order: &Order) -> Result<Machine, ConnectorError> {
        self.client.send(self.client.request(Method::POST, ["machines"]).json(order)).await?.json()
    }

    pub async fn power(&self, id: &str, operation: &str) -> Result<(), ConnectorError> {
        self.client.send(self.client.request(Method::POST, ["machines", id, operation])).await.map(drop)
    }

    /// Begins to delete a machine; the job that goes on with it.
    pub async fn delete(&self, id: &str) -> Result<Handle, ConnectorError> {
        let reply = self.client.send(self.client.request(Method::DELETE, ["machines", id])).await?;
        Ok(reply.json::<Deletion>()?.job)
    }

    pub async fn job(&self, job: &Handle) -> Result<Progress<()>, ConnectorError> {
        let reply = self.client.send(self.client.request(Method::GET, ["jobs", &job.0])).await?;
        Ok(if reply.json::<Job>()?.done { Progress::Done(()) } else { Progress::Running(None) })
    }
}

/// Trades user and password for a token.
struct Login {
    client: Client,
    user: String,
    password: String,
}

#[derive(Deserialize)]
struct Issued {
    token: String,
    seconds: u64,
}

#[async_trait]
impl Authority for Login {
    async fn issue(&self) -> Result<Token, ConnectorError> {
        let login = serde_json::json!({"user": self.user, "password": self.password});
        let Issued { token, seconds } =
            self.client.send(self.client.request(Method::POST, ["login"]).json(&login)).await?.json()?;
        Ok(Token { secret: token, lifetime: Some(Duration::from_secs(seconds)) })
    }

    fn header(&self, token: &str) -> (HeaderName, String) {
        (HeaderName::from_static("x-token"), token.to_owned())
    }
}
