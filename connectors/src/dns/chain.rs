//! Which provider makes a record: the first of these that serves its name.
//!
//! 1. The dynamic DNS service, where the name carries a secret of it.
//! 2. The cloud of the machine, where it has zones.
//! 3. The credential lines of type `DNS`, in their order.
//! 4. The dynamic DNS service with the caller's own token.

use super::{
    DnsRecord, ProviderName, RecordName, RecordProvider,
    dydns::{self, DyDns},
    rfc2136::Rfc2136,
};
use crate::{CloudAccount, ConnectorError, Endpoint, ErrorClass, http::HttpSettings};

/// Type of the credential lines of services that make records.
pub const KIND: &str = "DNS";

/// How the cloud of a machine is called as a provider.
const OWN_CLOUD: &str = "cloud";

/// Who makes records with a credential line of type `DNS`: driver, server and user.
#[must_use]
pub fn account_name(account: &CloudAccount) -> String {
    let server = match (&*account.endpoint.server, account.endpoint.port) {
        ("", _) if driver(account) == dydns::DRIVER => dydns::SERVER.to_owned(),
        (server, None) => server.to_owned(),
        (server, Some(port)) => format!("{server}:{port}"),
    };
    let user = account.field("username").map(|user| format!("{user}@")).unwrap_or_default();
    format!("{} {user}{server}", driver(account))
}

/// The line that stands for the dynamic DNS service, of a caller who shows this token for the daemon itself, or of nobody.
#[must_use]
pub fn dydns_account(token: Option<&str>) -> CloudAccount {
    let fields = [("driver", Some(dydns::DRIVER)), ("token", token)];
    let fields = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
    CloudAccount { id: "EGI DyDNS".to_owned(), kind: KIND.to_owned(), endpoint: Endpoint::default(), fields }
}

fn driver(account: &CloudAccount) -> &str {
    account.field("driver").unwrap_or_default()
}

/// The providers that there are for a machine.
pub struct Chain<'a> {
    own: Option<&'a dyn RecordProvider>,
    accounts: Vec<&'a CloudAccount>,
    http: HttpSettings,
}

impl<'a> Chain<'a> {
    /// Those of the cloud that the machine is in, and of these accounts.
    pub fn new(
        own: Option<&'a dyn RecordProvider>,
        accounts: impl IntoIterator<Item = &'a CloudAccount>,
        http: HttpSettings,
    ) -> Self {
        let accounts = accounts.into_iter().filter(|account| account.kind == KIND).collect();
        Self { own, accounts, http }
    }

    /// Who makes a record of this name; nobody where no provider serves it. No remote call.
    #[must_use]
    pub fn choose(&self, name: &RecordName) -> Option<ProviderName> {
        if name.secret.is_some() {
            let line = self.accounts.iter().find(|account| driver(account) == dydns::DRIVER);
            return Some(ProviderName(
                line.map_or_else(|| account_name(&dydns_account(None)), |line| account_name(line)),
            ));
        }
        if self.own.is_some_and(|own| own.serves(name)) {
            return Some(ProviderName(OWN_CLOUD.to_owned()));
        }
        // A line that cannot be used is told of when the record is to be made.
        let serves = |account: &&&CloudAccount| account.field("zone").is_none_or(|zone| name.is_in(zone));
        self.accounts.iter().find(serves).map(|account| ProviderName(account_name(account)))
    }

    /// Lets the provider make the record.
    ///
    /// # Errors
    /// `Auth`: the provider's credentials are missing. What the provider says.
    pub async fn ensure(&self, provider: &ProviderName, record: &DnsRecord) -> Result<(), ConnectorError> {
        match self.provider(provider)? {
            Provider::Own(own) => own.ensure(record).await,
            Provider::Other(other) => other.ensure(record).await,
        }
    }

    /// Lets the provider delete the record.
    ///
    /// # Errors
    /// As [`Chain::ensure`].
    pub async fn delete(&self, provider: &ProviderName, record: &DnsRecord) -> Result<(), ConnectorError> {
        match self.provider(provider)? {
            Provider::Own(own) => own.delete(record).await,
            Provider::Other(other) => other.delete(record).await,
        }
    }

    fn provider(&self, name: &ProviderName) -> Result<Provider<'a>, ConnectorError> {
        if name.0 == OWN_CLOUD {
            let missing =
                || ConnectorError::new(ErrorClass::Auth, "The cloud of the machine has no zones for this account");
            return self.own.map(Provider::Own).ok_or_else(missing);
        }
        let nobody = dydns_account(None);
        let account = self.accounts.iter().copied().find(|account| account_name(account) == name.0);
        let account = account.or((account_name(&nobody) == name.0).then_some(&nobody)).ok_or_else(|| {
            let text = format!("No auth data has been specified to DNS: the account '{name}' is missing.");
            ConnectorError::new(ErrorClass::Auth, text)
        })?;
        Ok(Provider::Other(match driver(account) {
            "rfc2136" => Box::new(Rfc2136::try_from(account)?),
            dydns::DRIVER => Box::new(DyDns::new(&self.http, account)?),
            _ => {
                let text = format!("Auth item {}: driver must be rfc2136 or {}", account.id, dydns::DRIVER);
                return Err(ConnectorError::new(ErrorClass::Invalid, text));
            }
        }))
    }
}

enum Provider<'a> {
    Own(&'a dyn RecordProvider),
    Other(Box<dyn RecordProvider>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use async_trait::async_trait;

    struct Zone(&'static str);

    #[async_trait]
    impl RecordProvider for Zone {
        fn serves(&self, name: &RecordName) -> bool {
            name.is_in(self.0)
        }

        async fn ensure(&self, _record: &DnsRecord) -> Result<(), ConnectorError> {
            Ok(())
        }

        async fn delete(&self, _record: &DnsRecord) -> Result<(), ConnectorError> {
            Ok(())
        }
    }

    fn line(fields: &[(&str, &str)]) -> CloudAccount {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let endpoint = Endpoint { server: "ns".to_owned(), ..Endpoint::default() };
        CloudAccount { id: "d".to_owned(), kind: KIND.to_owned(), endpoint, fields }
    }

    #[tokio::test]
    async fn the_first_that_serves_a_name_makes_its_records() {
        let (own, token) = (Zone("own.org"), dydns_account(Some("t")));
        let lines = [line(&[("driver", "rfc2136"), ("zone", "lab.org"), ("username", "key"), ("password", "s3cr3t")])];
        let choice =
            |own: Option<&dyn RecordProvider>, accounts: &[&CloudAccount], domain: &str, secret: Option<&str>| {
                let (host, domain) = ("a".to_owned(), format!("{domain}."));
                let name = RecordName { host, domain, secret: secret.map(str::to_owned) };
                let chain = Chain::new(own, accounts.iter().copied(), HttpSettings::default());
                chain.choose(&name).map(|name| name.0)
            };
        let text = |text: &str| Some(text.to_owned());
        let all = [&lines[0], &token];
        assert_eq!(choice(Some(&own), &all, "own.org", None), text("cloud"));
        assert_eq!(choice(Some(&own), &all, "sub.lab.org", None), text("rfc2136 key@ns"));
        assert_eq!(choice(Some(&own), &all, "else.org", None), text("dydns nsupdate.fedcloud.eu"));
        assert_eq!(choice(Some(&own), &all, "own.org", Some("s")), text("dydns nsupdate.fedcloud.eu"));
        assert_eq!(choice(None, &[], "own.org", Some("s")), text("dydns nsupdate.fedcloud.eu"));
        assert_eq!(choice(Some(&own), &[&lines[0]], "else.org", None), None);

        let chain = Chain::new(None, [], HttpSettings::default());
        let name = RecordName { host: "a".to_owned(), domain: "lab.org.".to_owned(), secret: None };
        let record = DnsRecord { name, address: "192.0.2.1".parse().unwrap() };
        let error = chain.delete(&ProviderName("rfc2136 key@ns".to_owned()), &record).await.unwrap_err();
        assert_eq!(
            (error.class, error.message.as_str()),
            (ErrorClass::Auth, "No auth data has been specified to DNS: the account 'rfc2136 key@ns' is missing.")
        );
    }
}
