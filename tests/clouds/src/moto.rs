//! moto, an emulator of AWS (installed by `scripts/make-moto`), with a proxy in front of it: a process of its own for each
//! test, on a free port of loopback, ended when dropped.

use crate::proxy::Proxy;
use connectors::{
    ProviderId,
    conformance::{Backstage, Fate},
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The region that everything is in.
pub const REGION: &str = "us-east-1";

const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever signs so is somebody to moto.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=backstage/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";

/// A running moto.
pub struct Moto {
    /// What connectors talk to.
    pub proxy: Proxy,
    address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    /// An empty cloud.
    ///
    /// # Errors
    /// What keeps it from starting, with what is to be done about it.
    pub async fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/moto/bin/moto_server");
        let log = directory.path().join("log");
        let output = File::create(&log)?;
        let process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            // Without the 1300 images that it knows: each of them would be made first.
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}; run scripts/make-moto", program.display())))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut moto = Self { proxy: Proxy::start(address).await?, address, process, _directory: directory };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            if moto.process.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("moto does not start: {}", said())));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        // Of CreateImage, moto takes tags of the image alone, not of its snapshots.
        moto.proxy.rewrite("TagSpecification.2.ResourceType=snapshot", "TagSpecification.2.ResourceType=image");
        Ok(moto)
    }

    /// One action of EC2, past the proxy; the XML that it answers.
    #[must_use]
    pub fn action(&self, action: &str, parameters: &str) -> String {
        let body = format!("Action={action}&Version=2016-11-15{parameters}");
        self.post("/", "application/x-www-form-urlencoded", &body).unwrap_or_else(|error| format!("<!-- {error} -->"))
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        // HTTP/1.0, so that the body ends where the connection does.
        let head = format!(
            "POST {path} HTTP/1.0\r\nhost: ec2.{REGION}.amazonaws.com\r\nauthorization: {AUTHORIZATION}\r\n\
             content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Makes an image of the user; its id.
    #[must_use]
    pub fn make_image(&self) -> String {
        let parameters = "&Name=debian-12-amd64&Architecture=x86_64&RootDeviceName=/dev/xvda&VirtualizationType=hvm\
                          &BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.VolumeSize=8";
        texts(&self.action("RegisterImage", parameters), "imageId").remove(0)
    }
}

/// The texts of all elements of a name.
#[must_use]
pub fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(open.as_str()).skip(1);
    parts.filter_map(|part| part.split_once(close.as_str()).map(|(text, _)| text.to_owned())).collect()
}

impl Backstage for Moto {
    fn fail(&self, request: Option<(u32, Fate)>) {
        self.proxy.fail(request);
    }

    fn requests(&self) -> u32 {
        self.proxy.requests()
    }

    fn holdings(&self) -> Vec<String> {
        let state = "&Filter.1.Name=instance-state-name&Filter.1.Value.1=pending&Filter.1.Value.2=running\
                     &Filter.1.Value.3=stopping&Filter.1.Value.4=stopped&Filter.1.Value.5=shutting-down";
        let lists = [
            ("DescribeInstances", state, "instanceId"),
            ("DescribeVpcs", "", "vpcId"),
            ("DescribeSubnets", "", "subnetId"),
            ("DescribeInternetGateways", "", "internetGatewayId"),
            ("DescribeSecurityGroups", "", "groupId"),
            ("DescribeAddresses", "", "allocationId"),
            ("DescribeVolumes", "", "volumeId"),
            ("DescribeNetworkInterfaces", "", "networkInterfaceId"),
            ("DescribeImages", "&Owner.1=self", "imageId"),
            ("DescribeSnapshots", "&Owner.1=self", "snapshotId"),
            ("DescribeKeyPairs", "", "keyPairId"),
        ];
        let mut holdings: Vec<_> = lists
            .into_iter()
            .flat_map(|(action, parameters, name)| texts(&self.action(action, parameters), name))
            .collect();
        holdings.sort_unstable();
        holdings.dedup();
        holdings
    }

    fn make_users_volume(&self) -> String {
        let made = self.action("CreateVolume", &format!("&Size=1&AvailabilityZone={REGION}a"));
        format!("aws://{REGION}/{}", texts(&made, "volumeId").remove(0))
    }

    fn delete_users_volume(&self, url: &str) -> bool {
        let volume = url.rsplit('/').next().unwrap_or_default();
        self.action("DeleteVolume", &format!("&VolumeId={volume}")).contains("<DeleteVolumeResponse")
    }

    fn user_data(&self, machine: &ProviderId) -> Option<String> {
        let instance = machine.0.split(';').next_back()?;
        let told = self.action("DescribeInstanceAttribute", &format!("&Attribute=userData&InstanceId={instance}"));
        let coded = texts(&told, "value").into_iter().next()?;
        String::from_utf8(openssl::base64::decode_block(&coded).ok()?).ok()
    }
}
