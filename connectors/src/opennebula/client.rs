//! Requests and replies of OpenNebula's XML-RPC API (docs.opennebula.io, "XML-RPC API"); no RADL.

use super::{fault, xml::Element};
use crate::{
    CloudAccount, ConnectorError, ErrorClass,
    http::{Client, HttpSettings, Method, base_url, header::CONTENT_TYPE, redaction::Redaction},
};
use quick_xml::escape::escape;
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::Mutex;

/// Port of `oned` where a line has neither port nor path.
const PORT: u16 = 2633;
/// Path of `oned` where a line has none.
const PATH: &str = "/RPC2";
/// Objects of a page.
const PAGE: usize = 400;
/// Objects that two pages have in common: what goes while the list is read does not take its neighbours out of it.
const OVERLAP: usize = 40;
/// A list of the caller's own objects.
const MINE: i32 = -3;
/// A list of all that the caller may use.
const ALL: i32 = -2;
/// Machines in any state but DONE.
const NOT_DONE: i32 = -1;

/// An argument of a request.
#[derive(Debug, Clone)]
pub(super) enum Argument<'a> {
    Number(i32),
    Truth(bool),
    Text(&'a str),
}

/// A list that many callers want at the same time, read once for all of them.
type SharedList = Mutex<Option<(Instant, Arc<Vec<Element>>)>>;

/// The API as one account sees it.
pub(super) struct Api {
    client: Client,
    /// First argument of every request: `user:password`, or `user:token`.
    session: String,
    redaction: Redaction,
    machines: SharedList,
    groups: SharedList,
    networks: SharedList,
    images: SharedList,
}

impl Api {
    /// # Errors
    /// `Auth` for a line without user or password, `Invalid` for one that cannot be used.
    pub fn new(settings: &HttpSettings, account: &CloudAccount) -> Result<Self, ConnectorError> {
        let (Some(user), Some(password)) = (account.field("username"), account.field("password")) else {
            let text = "No correct auth data has been specified to OpenNebula.: username and password";
            return Err(ConnectorError::new(ErrorClass::Auth, text));
        };
        let mut base = if account.endpoint.path.is_empty() {
            base_url(account, "http", Some(PORT))?
        } else {
            base_url(account, "http", None)?
        };
        if account.endpoint.path.is_empty() {
            base.set_path(PATH);
        }
        Ok(Self {
            client: Client::new(settings, account, base)?,
            session: format!("{user}:{password}"),
            redaction: Redaction::of(account),
            machines: SharedList::default(),
            groups: SharedList::default(),
            networks: SharedList::default(),
            images: SharedList::default(),
        })
    }

    /// One request; what it returns besides its success.
    async fn call(&self, method: &str, arguments: &[Argument<'_>]) -> Result<String, ConnectorError> {
        let body = request(method, &self.session, arguments);
        let url = self.client.url(std::iter::empty());
        let post = self.client.request_url(Method::POST, url).header(CONTENT_TYPE, "text/xml").body(body);
        let reply = self.client.send(post).await?;
        let text = std::str::from_utf8(&reply.body).map_err(|_| unexpected(method))?;
        let clean = |text: &str| self.redaction.redact(text, Some(&self.session));
        outcome(method, &Element::parse(text)?, clean)
    }

    /// One request whose result is a number: the id of what was made or changed.
    async fn number(&self, method: &str, arguments: &[Argument<'_>]) -> Result<i32, ConnectorError> {
        self.call(method, arguments).await?.trim().parse().map_err(|_| unexpected(method))
    }

    /// One request whose result is a document; none where the object does not exist.
    async fn info(&self, method: &str, arguments: &[Argument<'_>]) -> Result<Option<Element>, ConnectorError> {
        match self.call(method, arguments).await {
            Ok(document) => Element::parse(&document).map(Some),
            Err(error) if error.class == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All pages of a pool.
    async fn pool(&self, method: &str, filter: i32, more: &[Argument<'_>]) -> Result<Vec<Element>, ConnectorError> {
        let mut found = BTreeMap::new();
        let mut offset = 0;
        loop {
            let number = |count: usize| i32::try_from(count).map_err(|_| unexpected(method));
            let range = [filter, number(offset)?, -number(PAGE)?].map(Argument::Number);
            let page = self.call(method, &[&range, more].concat()).await?;
            let items = Element::parse(&page)?.children;
            let count = items.len();
            found.extend(items.into_iter().filter_map(|item| Some((item.number::<i64>("ID")?, item))));
            if count < PAGE {
                return Ok(found.into_values().collect());
            }
            offset += PAGE - OVERLAP;
        }
    }

    /// A pool as it is now or was read since this was asked for: callers that wait for each other share one request.
    async fn shared(
        &self,
        list: &SharedList,
        method: &str,
        filter: i32,
        more: &[Argument<'_>],
    ) -> Result<Arc<Vec<Element>>, ConnectorError> {
        let asked = Instant::now();
        let mut known = list.lock().await;
        if let Some((_, items)) = known.as_ref().filter(|(begun, _)| *begun >= asked) {
            return Ok(Arc::clone(items));
        }
        let begun = Instant::now();
        let items = Arc::new(self.pool(method, filter, more).await?);
        *known = Some((begun, Arc::clone(&items)));
        Ok(items)
    }

    /// The caller's machines that are not DONE, with all that is known of them.
    pub async fn machines(&self) -> Result<Arc<Vec<Element>>, ConnectorError> {
        let state = [Argument::Number(NOT_DONE)];
        self.shared(&self.machines, "one.vmpool.infoextended", MINE, &state).await
    }

    /// A machine, also one that is DONE; none where there never was one.
    pub async fn machine(&self, id: i32) -> Result<Option<Element>, ConnectorError> {
        self.info("one.vm.info", &[Argument::Number(id), Argument::Truth(false)]).await
    }

    /// Makes a machine that waits until it is released.
    pub async fn allocate(&self, template: &str) -> Result<i32, ConnectorError> {
        self.number("one.vm.allocate", &[Argument::Text(template), Argument::Truth(true)]).await
    }

    /// Does `action` (`release`, `suspend`, `terminate`, ...) to a machine.
    pub async fn action(&self, action: &str, id: i32) -> Result<(), ConnectorError> {
        self.call("one.vm.action", &[Argument::Text(action), Argument::Number(id)]).await.map(drop)
    }

    /// Changes the capacity of a machine that is off, where the host has as much.
    pub async fn resize(&self, id: i32, template: &str) -> Result<(), ConnectorError> {
        let arguments = [Argument::Number(id), Argument::Text(template), Argument::Truth(true)];
        self.call("one.vm.resize", &arguments).await.map(drop)
    }

    /// Begins to attach a disk.
    pub async fn attach_disk(&self, id: i32, template: &str) -> Result<(), ConnectorError> {
        self.call("one.vm.attach", &[Argument::Number(id), Argument::Text(template)]).await.map(drop)
    }

    /// Begins to attach a network interface.
    pub async fn attach_nic(&self, id: i32, template: &str) -> Result<(), ConnectorError> {
        self.call("one.vm.attachnic", &[Argument::Number(id), Argument::Text(template)]).await.map(drop)
    }

    /// Begins to detach a network interface.
    pub async fn detach_nic(&self, id: i32, nic: i32) -> Result<(), ConnectorError> {
        self.call("one.vm.detachnic", &[Argument::Number(id), Argument::Number(nic)]).await.map(drop)
    }

    /// Gives up a machine that is stuck: operation 3 of `one.vm.recover`, delete.
    pub async fn recover_by_deleting(&self, id: i32) -> Result<(), ConnectorError> {
        self.call("one.vm.recover", &[Argument::Number(id), Argument::Number(3)]).await.map(drop)
    }

    /// Begins to copy a disk into a new image; the image's id.
    pub async fn save_disk(&self, id: i32, disk: i32, name: &str) -> Result<i32, ConnectorError> {
        let (name, kind) = (Argument::Text(name), Argument::Text(""));
        let arguments = [Argument::Number(id), Argument::Number(disk), name, kind, Argument::Number(-1)];
        self.number("one.vm.disksaveas", &arguments).await
    }

    /// The networks that the caller may use.
    pub async fn networks(&self) -> Result<Arc<Vec<Element>>, ConnectorError> {
        self.shared(&self.networks, "one.vnpool.info", ALL, &[]).await
    }

    /// The images that the caller may use.
    pub async fn images(&self) -> Result<Arc<Vec<Element>>, ConnectorError> {
        self.shared(&self.images, "one.imagepool.info", ALL, &[]).await
    }

    /// An image; none where there is none.
    pub async fn image(&self, id: i32) -> Result<Option<Element>, ConnectorError> {
        self.info("one.image.info", &[Argument::Number(id), Argument::Truth(false)]).await
    }

    /// Begins to delete an image.
    pub async fn delete_image(&self, id: i32) -> Result<(), ConnectorError> {
        self.call("one.image.delete", &[Argument::Number(id)]).await.map(drop)
    }

    /// The security groups that the caller may use.
    pub async fn groups(&self) -> Result<Arc<Vec<Element>>, ConnectorError> {
        self.shared(&self.groups, "one.secgrouppool.info", ALL, &[]).await
    }

    /// Makes a security group.
    pub async fn make_group(&self, template: &str) -> Result<i32, ConnectorError> {
        self.number("one.secgroup.allocate", &[Argument::Text(template)]).await
    }

    /// Gives a security group another template.
    pub async fn update_group(&self, id: i32, template: &str) -> Result<(), ConnectorError> {
        let arguments = [Argument::Number(id), Argument::Text(template), Argument::Number(0)];
        self.call("one.secgroup.update", &arguments).await.map(drop)
    }

    /// Deletes a security group.
    pub async fn delete_group(&self, id: i32) -> Result<(), ConnectorError> {
        self.call("one.secgroup.delete", &[Argument::Number(id)]).await.map(drop)
    }

    /// The caller himself, with his quotas.
    pub async fn user(&self) -> Result<Element, ConnectorError> {
        let document = self.call("one.user.info", &[Argument::Number(-1), Argument::Truth(false)]).await?;
        Element::parse(&document)
    }
}

/// The document of a request.
fn request(method: &str, session: &str, arguments: &[Argument<'_>]) -> String {
    let value = |argument: &Argument<'_>| match argument {
        Argument::Number(number) => format!("<i4>{number}</i4>"),
        Argument::Truth(truth) => format!("<boolean>{}</boolean>", u8::from(*truth)),
        Argument::Text(text) => format!("<string>{}</string>", escape(*text)),
    };
    let session = std::iter::once(Argument::Text(session));
    let parameters: String = session
        .chain(arguments.iter().cloned())
        .map(|argument| format!("<param><value>{}</value></param>", value(&argument)))
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<methodCall><methodName>{method}</methodName><params>{parameters}</params></methodCall>"
    )
}

/// What a reply says: an array of success, result or error text, and error code; or a fault of the protocol.
fn outcome(method: &str, reply: &Element, clean: impl Fn(&str) -> String) -> Result<String, ConnectorError> {
    if let Some(value) = reply.child("fault") {
        let members = value.all("value/struct/member");
        let member = |name: &str| members.iter().find(|member| member.text("name") == Some(name)).copied();
        let text = member("faultString").and_then(|member| member.child("value")).map(scalar).unwrap_or_default();
        let code = member("faultCode").and_then(|member| member.child("value")).map(scalar).unwrap_or_default();
        return Err(fault::of_protocol(method, &code, &clean(&text)));
    }
    let values = reply.all("params/param/value/array/data/value");
    let [success, result, rest @ ..] = values.as_slice() else { return Err(unexpected(method)) };
    if matches!(scalar(success).trim(), "1" | "true") {
        return Ok(scalar(result));
    }
    let code = rest.first().and_then(|code| scalar(code).trim().parse().ok()).unwrap_or(0);
    Err(fault::of_call(code, &clean(&scalar(result))))
}

/// A value that is no array: its text, whatever its type.
fn scalar(value: &Element) -> String {
    value.children.first().map_or_else(|| value.text.clone(), |typed| typed.text.clone())
}

fn unexpected(method: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, format!("OpenNebula answers {method} with something unexpected"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_typed_and_escaped() {
        let text = request("one.vm.info", "u:p<", &[Argument::Number(7), Argument::Truth(true)]);
        let values = "<param><value><string>u:p&lt;</string></value></param><param><value><i4>7</i4></value></param>\
            <param><value><boolean>1</boolean></value></param>";
        assert!(text.contains(values), "{text}");
    }

    #[test]
    fn replies_are_results_refusals_or_faults() {
        let array = |values: &str| {
            let data = format!("<array><data>{values}</data></array>");
            Element::parse(&format!(
                "<methodResponse><params><param><value>{data}</value></param></params></methodResponse>"
            ))
            .unwrap()
        };
        let read = |reply: &Element| outcome("one.vm.info", reply, |text| text.replace("s3cret", "***"));
        let value = |kind: &str, text: &str| format!("<value><{kind}>{text}</{kind}></value>");
        let good = value("boolean", "1") + "<value>&lt;VM/&gt;</value>" + &value("i4", "0");
        assert_eq!(read(&array(&good)).unwrap(), "<VM/>");
        let bad = value("boolean", "0") + &value("string", "no s3cret") + &value("i4", "1024");
        let error = read(&array(&bad)).unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::NotFound, "no ***"));
        assert_eq!(read(&array("")).unwrap_err().class, ErrorClass::Transient);
    }
}
