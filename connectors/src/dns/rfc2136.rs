//! Dynamic updates of any name server (RFC 2136), signed with a shared key (TSIG, RFC 8945), over TCP.

use super::{DnsRecord, RecordName, RecordProvider};
use crate::{CloudAccount, ConnectorError, ErrorClass};
use async_trait::async_trait;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage},
    rr::{
        DNSClass, Name, RData, Record, RecordType, TSigner,
        rdata::{A, AAAA, tsig::TsigAlgorithm},
    },
};
use openssl::base64;
use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where name servers answer.
const PORT: u16 = 53;
/// How long records may be remembered, in seconds.
const TTL: u32 = 300;
/// How far apart the clocks of both sides may be, in seconds.
const FUDGE: u16 = 300;
/// The longest that an update may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A name server that takes updates.
pub struct Rfc2136 {
    server: String,
    port: u16,
    /// The zone that is updated; none for the domain of each name.
    zone: Option<String>,
    signer: Option<TSigner>,
}

/// What a credential line says of the server: `host`, and if it has several zones that are not the domains of the names,
/// `zone`. `username`, `password` and `algorithm` are name, secret (base64) and algorithm of the key; a server that trusts
/// addresses needs none.
impl TryFrom<&CloudAccount> for Rfc2136 {
    type Error = ConnectorError;

    fn try_from(account: &CloudAccount) -> Result<Self, ConnectorError> {
        let refused = |class, what: &str| ConnectorError::new(class, format!("Auth item {}: {what}", account.id));
        let endpoint = &account.endpoint;
        if endpoint.server.is_empty() {
            return Err(refused(ErrorClass::Invalid, "host must name the name server that takes updates"));
        }
        let signer = match (account.field("username"), account.field("password")) {
            (None, None) => None,
            (Some(name), Some(secret)) => {
                let name =
                    Name::from_ascii(name).map_err(|_| refused(ErrorClass::Auth, "username is no name of a key"))?;
                let key = base64::decode_block(secret.trim());
                let key =
                    key.map_err(|_| refused(ErrorClass::Auth, "password must be the secret of the key in base64"))?;
                let algorithm = match account.field("algorithm").unwrap_or("hmac-sha256").trim_end_matches('.') {
                    "hmac-sha256" => TsigAlgorithm::HmacSha256,
                    "hmac-sha384" => TsigAlgorithm::HmacSha384,
                    "hmac-sha512" => TsigAlgorithm::HmacSha512,
                    _ => {
                        let text = "algorithm must be hmac-sha256, hmac-sha384 or hmac-sha512";
                        return Err(refused(ErrorClass::Invalid, text));
                    }
                };
                let signer = TSigner::new(key, algorithm, name, FUDGE);
                Some(signer.map_err(|_| refused(ErrorClass::Auth, "the key cannot be used"))?)
            }
            _ => return Err(refused(ErrorClass::Auth, "username and password are name and secret of one key")),
        };
        Ok(Self {
            server: endpoint.server.clone(),
            port: endpoint.port.unwrap_or(PORT),
            zone: account.field("zone").map(str::to_owned),
            signer,
        })
    }
}

impl Rfc2136 {
    /// An update of the zone of a record, without changes.
    fn update(&self, record: &DnsRecord) -> Result<(Message, Name), ConnectorError> {
        let zone = parsed(self.zone.as_deref().unwrap_or(&record.name.domain))?;
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Update);
        let mut section = Query::new();
        section.set_name(zone).set_query_class(DNSClass::IN).set_query_type(RecordType::SOA);
        message.add_zone(section);
        Ok((message, parsed(&record.name.fqdn())?))
    }

    async fn send(&self, mut message: Message, record: &DnsRecord) -> Result<(), ConnectorError> {
        let failed = |what: String| {
            let text = format!("The name server {} {what}", self.server);
            ConnectorError::new(ErrorClass::Transient, text)
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verifier = match &self.signer {
            Some(signer) => message.finalize(signer, now).map_err(|error| invalid(&error.to_string()))?,
            None => None,
        };
        let request = message.to_vec().map_err(|error| invalid(&error.to_string()))?;
        let answer = tokio::time::timeout(LIMIT, self.exchange(&request)).await;
        let answer = answer.map_err(|_| failed("does not answer in time".to_owned()))?;
        let answer = answer.map_err(|error| failed(format!("cannot be asked: {error}")))?;
        let reply = Message::from_vec(&answer).map_err(|error| failed(format!("answers something else: {error}")))?;
        if reply.metadata.id != message.metadata.id {
            return Err(failed("answers something else".to_owned()));
        }
        // A refusal of the key itself cannot be signed with it.
        let code = reply.metadata.response_code;
        if code == ResponseCode::NoError
            && let Some(mut verifier) = verifier
        {
            let why =
                |error: &dyn std::fmt::Display| failed(format!("answers without the signature of the key: {error}"));
            verifier.verify(&answer).map_err(|error| why(&error))?;
        }
        let refused = |class, why: &str| {
            let text = format!("The name server {} refuses to change {}: {why}", self.server, record.name.fqdn());
            Err(ConnectorError::new(class, text))
        };
        match code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::Refused => refused(ErrorClass::Denied, "its policy does not allow that to this key"),
            ResponseCode::NotAuth if reply.signature().is_some_and(|signature| signature.data.error.is_some()) => {
                refused(ErrorClass::Auth, "it does not take the key, or the clocks differ by more than five minutes")
            }
            ResponseCode::NotAuth => refused(ErrorClass::Invalid, "it has no such zone"),
            ResponseCode::NotZone => refused(ErrorClass::Invalid, "the name is not in the zone"),
            ResponseCode::FormErr => refused(ErrorClass::Invalid, "it does not understand the update"),
            ResponseCode::NotImp => refused(ErrorClass::Unsupported, "it takes no updates"),
            other => refused(ErrorClass::Transient, &other.to_string()),
        }
    }

    /// One message there and one back, each behind its length (RFC 1035, 4.2.2).
    async fn exchange(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((self.server.as_str(), self.port)).await?;
        let length = u16::try_from(request.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

#[async_trait]
impl RecordProvider for Rfc2136 {
    fn serves(&self, name: &RecordName) -> bool {
        self.zone.as_ref().is_none_or(|zone| name.is_in(zone))
    }

    async fn ensure(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        let (mut message, name) = self.update(record)?;
        // Both in one update, so that the name leads somewhere all the time.
        let mut old = Record::update0(name.clone(), 0, kind(record));
        old.dns_class = DNSClass::ANY;
        message.add_update(old);
        message.add_update(Record::from_rdata(name, TTL, data(record)));
        self.send(message, record).await
    }

    async fn delete(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        let (mut message, name) = self.update(record)?;
        let mut old = Record::from_rdata(name, 0, data(record));
        old.dns_class = DNSClass::NONE;
        message.add_update(old);
        self.send(message, record).await
    }
}

fn parsed(name: &str) -> Result<Name, ConnectorError> {
    let mut parsed = Name::from_ascii(name).map_err(|_| invalid(&format!("{name} is no name in the DNS")))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

fn invalid(what: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, what)
}

fn kind(record: &DnsRecord) -> RecordType {
    if record.address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

fn data(record: &DnsRecord) -> RData {
    match record.address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}
