//! What the simulated `oned` holds, and what each of its methods does to it.

use super::{
    rpc::{Outcome, Value},
    template::{self, Attribute, of},
};
use quick_xml::escape::escape;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

/// Error codes of the reference.
const AUTHENTICATION: i32 = 0x0100;
const AUTHORIZATION: i32 = 0x0200;
const NO_EXISTS: i32 = 0x0400;
const ACTION: i32 = 0x0800;
const INTERNAL: i32 = 0x2000;
const ALLOCATE: i32 = 0x4000;

/// STATE and LCM_STATE.
type State = (i32, i32);
const DONE: State = (6, 0);
const HOLD: State = (2, 0);
const PENDING: State = (1, 0);
const BOOT: State = (3, 2);
const RUNNING: State = (3, 3);
const SUSPENDED: State = (5, 0);
const POWEROFF: State = (8, 0);

type Pairs = Vec<(String, String)>;
type Refusal = (i32, String);

pub struct Vm {
    name: String,
    state: State,
    /// What it becomes, one after the other.
    next: Vec<(Instant, State)>,
    single: BTreeMap<String, String>,
    disks: Vec<Pairs>,
    nics: Vec<Pairs>,
    vectors: Vec<(String, Pairs)>,
    user: Vec<(String, Attribute)>,
}

struct Image {
    name: String,
    ready: Instant,
    /// None while it stays.
    gone: Option<Instant>,
    users: bool,
    persistent: bool,
}

struct Group {
    name: String,
    template: Vec<(String, Attribute)>,
}

struct Network {
    name: String,
    first: [u8; 3],
}

pub struct Cloud {
    /// `user:password`.
    session: String,
    step: Duration,
    vms: BTreeMap<i32, Vm>,
    images: BTreeMap<i32, Image>,
    groups: BTreeMap<i32, Group>,
    networks: BTreeMap<i32, Network>,
    next: i32,
    pub most_vms: Option<u32>,
}

fn missing(what: &str, id: i32) -> Refusal {
    (NO_EXISTS, format!("Error getting {what} [{id}]."))
}

fn wrong_state(what: &str) -> Refusal {
    (ACTION, format!("[{what}] This action is not available in this state"))
}

impl Vm {
    fn settle(&mut self) {
        let now = Instant::now();
        while let Some((_, state)) = self.next.first().filter(|(at, _)| *at <= now).copied() {
            self.state = state;
            self.next.remove(0);
        }
    }

    fn become_by(&mut self, step: Duration, states: &[State]) {
        self.state = states[0];
        let after =
            |(number, state): (usize, &State)| (Instant::now() + step * u32::try_from(number + 1).unwrap_or(1), *state);
        self.next = states[1..].iter().enumerate().map(after).collect();
    }

    fn xml(&self, id: i32) -> String {
        let mut xml = format!("<VM><ID>{id}</ID><UID>2</UID><GID>1</GID><UNAME>joe</UNAME><GNAME>users</GNAME>");
        let (state, lcm) = self.state;
        let _ = write!(xml, "<NAME>{}</NAME><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE>", escape(&self.name));
        xml.push_str("<STIME>1700000000</STIME><ETIME>0</ETIME><TEMPLATE>");
        self.single.iter().for_each(|(key, value)| element(&mut xml, key, value));
        self.disks.iter().for_each(|disk| vector(&mut xml, "DISK", disk));
        self.nics.iter().for_each(|nic| vector(&mut xml, "NIC", nic));
        self.vectors.iter().for_each(|(name, pairs)| vector(&mut xml, name, pairs));
        xml.push_str("</TEMPLATE><USER_TEMPLATE>");
        attributes(&mut xml, &self.user);
        xml.push_str("</USER_TEMPLATE><HISTORY_RECORDS/></VM>");
        xml
    }
}

fn element(xml: &mut String, name: &str, value: &str) {
    let _ = write!(xml, "<{name}><![CDATA[{value}]]></{name}>");
}

fn vector(xml: &mut String, name: &str, pairs: &Pairs) {
    let _ = write!(xml, "<{name}>");
    pairs.iter().for_each(|(key, value)| element(xml, key, value));
    let _ = write!(xml, "</{name}>");
}

fn attributes(xml: &mut String, template: &[(String, Attribute)]) {
    for (name, attribute) in template {
        match attribute {
            Attribute::One(value) => element(xml, name, value),
            Attribute::Many(pairs) => vector(xml, name, pairs),
        }
    }
}

impl Cloud {
    /// A cloud with one image, a public and a private network, whose machines take `step` from state to state.
    pub fn new(session: &str, step: Duration) -> Self {
        let mut cloud = Self {
            session: session.to_owned(),
            step,
            vms: BTreeMap::new(),
            images: BTreeMap::new(),
            groups: BTreeMap::new(),
            networks: BTreeMap::new(),
            next: 100,
            most_vms: None,
        };
        cloud.add_image("linux", false, false);
        cloud.networks.insert(0, Network { name: "publica".to_owned(), first: [158, 42, 1] });
        cloud.networks.insert(1, Network { name: "privada".to_owned(), first: [10, 0, 0] });
        cloud
    }

    pub fn add_image(&mut self, name: &str, users: bool, persistent: bool) -> i32 {
        let id = i32::try_from(self.images.len()).unwrap_or(0).max(self.images.keys().max().map_or(0, |id| id + 1));
        let image = Image { name: name.to_owned(), ready: Instant::now(), gone: None, users, persistent };
        self.images.insert(id, image);
        id
    }

    pub fn add_network(&mut self) -> String {
        let id = i32::try_from(self.networks.len()).unwrap_or(2);
        let name = format!("users-{id}");
        self.networks.insert(id, Network { name: name.clone(), first: [158, 43, u8::try_from(id).unwrap_or(9)] });
        name
    }

    fn settle(&mut self) {
        self.vms.values_mut().for_each(Vm::settle);
        let now = Instant::now();
        self.images.retain(|_, image| image.gone.is_none_or(|gone| gone > now));
    }

    /// All that the account has made, and what belongs to the user.
    pub fn holdings(&mut self) -> Vec<String> {
        self.settle();
        let vms = self.vms.iter().filter(|(_, vm)| vm.state != DONE).map(|(id, vm)| format!("vm {id} {}", vm.name));
        let images =
            self.images.iter().filter(|(_, image)| image.users).map(|(_, image)| format!("image {}", image.name));
        let groups = self.groups.iter().map(|(id, group)| format!("group {id} {}", group.name));
        let networks = self.networks.values().skip(2).map(|network| format!("network {}", network.name));
        vms.chain(images).chain(groups).chain(networks).collect()
    }

    /// Whether a machine uses the image.
    fn is_used(&self, image: i32) -> bool {
        let uses = |disk: &Pairs| of(disk, "IMAGE_ID") == Some(&image.to_string());
        self.vms.values().any(|vm| vm.state != DONE && vm.disks.iter().any(uses))
    }

    pub fn delete_users_image(&mut self, image: i32) -> bool {
        self.settle();
        !self.is_used(image) && self.images.remove(&image).is_some()
    }

    pub fn user_data(&self, vm: i32) -> Option<String> {
        let (_, context) = self.vms.get(&vm)?.vectors.iter().find(|(name, _)| name == "CONTEXT")?;
        let bytes = openssl::base64::decode_block(of(context, "USERDATA")?).ok()?;
        String::from_utf8(bytes).ok()
    }

    pub fn call(&mut self, method: &str, session: &str, arguments: &[Value]) -> Result<Outcome, Refusal> {
        use Value::{Bool, Int, Text};
        if session != self.session {
            return Err((AUTHENTICATION, format!("[{method}] User couldn't be authenticated, aborting call.")));
        }
        self.settle();
        match (method, arguments) {
            ("one.system.version", _) => Ok(Outcome::Document("7.0.0".to_owned())),
            ("one.user.info", _) => Ok(Outcome::Document(self.user_xml())),
            ("one.vm.allocate", [Text(text), rest @ ..]) => self.allocate(text, matches!(rest, [Bool(true)])),
            ("one.vm.info", [Int(id), ..]) => {
                Ok(Outcome::Document(self.vms.get(id).ok_or_else(|| missing("virtual machine", *id))?.xml(*id)))
            }
            ("one.vm.action", [Text(action), Int(id)]) => self.action(action, *id),
            ("one.vm.resize", [Int(id), Text(text), _]) => self.resize(*id, text),
            ("one.vm.attach", [Int(id), Text(text)]) => self.attach(*id, text, "DISK"),
            ("one.vm.attachnic", [Int(id), Text(text)]) => self.attach(*id, text, "NIC"),
            ("one.vm.detachnic", [Int(id), Int(nic)]) => self.detach_nic(*id, *nic),
            ("one.vm.recover", [Int(_), Int(_)]) => {
                Err((AUTHORIZATION, "Not authorized to perform ADMIN VM.".to_owned()))
            }
            ("one.vm.disksaveas", [Int(id), Int(disk), Text(name), Text(_), Int(_)]) => self.save_as(*id, *disk, name),
            ("one.vmpool.info" | "one.vmpool.infoextended", [Int(_), Int(start), Int(end), Int(state), ..]) => {
                if *state != -1 && *state != -2 {
                    return Err((0x1000, "Only states -1 and -2 are simulated".to_owned()));
                }
                let vms = self.vms.iter().filter(|(_, vm)| *state == -2 || vm.state != DONE);
                Ok(pool("VM_POOL", vms.map(|(id, vm)| (*id, vm.xml(*id))), *start, *end))
            }
            ("one.vnpool.info", [Int(_), Int(start), Int(end)]) => Ok(pool(
                "VNET_POOL",
                self.networks.iter().map(|(id, network)| (*id, self.network_xml(*id, network))),
                *start,
                *end,
            )),
            ("one.imagepool.info", [Int(_), Int(start), Int(end)]) => Ok(pool(
                "IMAGE_POOL",
                self.images.iter().map(|(id, image)| (*id, self.image_xml(*id, image))),
                *start,
                *end,
            )),
            ("one.image.info", [Int(id), ..]) => {
                let image = self.images.get(id).ok_or_else(|| missing("image", *id))?;
                Ok(Outcome::Document(self.image_xml(*id, image)))
            }
            ("one.image.delete", [Int(id), ..]) => self.delete_image(*id),
            ("one.secgrouppool.info", [Int(_), Int(start), Int(end)]) => {
                let xml = |(id, group): (&i32, &Group)| {
                    let mut xml = format!(
                        "<SECURITY_GROUP><ID>{id}</ID><UID>2</UID><NAME>{}</NAME><TEMPLATE>",
                        escape(&group.name)
                    );
                    attributes(&mut xml, &group.template);
                    (*id, xml + "</TEMPLATE></SECURITY_GROUP>")
                };
                Ok(pool("SECURITY_GROUP_POOL", self.groups.iter().map(xml), *start, *end))
            }
            ("one.secgroup.allocate", [Text(text)]) => self.make_group(text),
            ("one.secgroup.update", [Int(id), Text(text), Int(0 | 1)]) => {
                let template = group_template(text)?;
                self.groups.get_mut(id).ok_or_else(|| missing("security group", *id))?.template = template;
                Ok(Outcome::Number(*id))
            }
            ("one.secgroup.delete", [Int(id)]) => self.delete_group(*id),
            _ => Err((INTERNAL, format!("[{method}] is not simulated"))),
        }
    }

    fn vm(&mut self, id: i32) -> Result<&mut Vm, Refusal> {
        self.vms.get_mut(&id).filter(|vm| vm.state != DONE).ok_or_else(|| missing("virtual machine", id))
    }

    fn allocate(&mut self, text: &str, hold: bool) -> Result<Outcome, Refusal> {
        let refused = |text: &str| (ALLOCATE, format!("[one.vm.allocate] {text}"));
        let template = template::parse(text).ok_or_else(|| (INTERNAL, "[one.vm.allocate] Parse error".to_owned()))?;
        let live = self.vms.values().filter(|vm| vm.state != DONE).count();
        if let Some(most) = self.most_vms.filter(|most| live >= *most as usize) {
            let text = format!("[one.vm.allocate] User [2] limit of {most} reached for VMS quota in VM.");
            return Err((AUTHORIZATION, text));
        }
        let id = self.next;
        let mut vm = Vm {
            name: format!("one-{id}"),
            state: HOLD,
            next: Vec::new(),
            single: BTreeMap::new(),
            disks: Vec::new(),
            nics: Vec::new(),
            vectors: Vec::new(),
            user: Vec::new(),
        };
        for (name, attribute) in template {
            match (name.as_str(), attribute) {
                ("NAME", Attribute::One(name)) => vm.name = name,
                ("CPU" | "VCPU" | "MEMORY", Attribute::One(value)) => {
                    let is_amount = value.parse::<f64>().is_ok_and(|number| number > 0.0);
                    if !is_amount || (name != "CPU" && value.parse::<u32>().is_err()) {
                        return Err(refused(&format!("{name} attribute must be a positive number")));
                    }
                    vm.single.insert(name, value);
                }
                ("DISK", Attribute::Many(pairs)) => {
                    let number = vm.disks.len();
                    vm.disks.push(self.disk(pairs, number).map_err(|text| refused(&text))?);
                }
                ("NIC", Attribute::Many(pairs)) => {
                    let nic = self.nic(pairs, &vm.nics).map_err(|text| refused(&text))?;
                    vm.nics.push(nic);
                }
                ("OS" | "CONTEXT" | "GRAPHICS" | "PCI", Attribute::Many(pairs)) => vm.vectors.push((name, pairs)),
                ("DISK" | "NIC" | "OS" | "CONTEXT", Attribute::One(_)) => {
                    return Err(refused("Wrong type of attribute"));
                }
                (_, attribute) => vm.user.push((name, attribute)),
            }
        }
        if !vm.single.contains_key("CPU") || !vm.single.contains_key("MEMORY") {
            return Err(refused("CPU and MEMORY attributes are mandatory"));
        }
        if !hold {
            vm.become_by(self.step, &[PENDING, BOOT, RUNNING]);
        }
        self.next += 1;
        self.vms.insert(id, vm);
        Ok(Outcome::Number(id))
    }

    fn disk(&self, mut pairs: Pairs, number: usize) -> Result<Pairs, String> {
        const KNOWN: [&str; 10] =
            ["IMAGE_ID", "TYPE", "FORMAT", "SAVE", "SIZE", "TARGET", "FS", "DEV_PREFIX", "IM_DISK", "IM_SIZE"];
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
            return Err(format!("{key} is no attribute of DISK"));
        }
        match of(&pairs, "IMAGE_ID").map(|id| id.parse::<i32>().ok()) {
            Some(id) => {
                let id = id.ok_or("IMAGE_ID is no number")?;
                let image = self.images.get(&id).ok_or_else(|| format!("Image with ID: {id} does not exist"))?;
                if image.persistent && self.is_used(id) {
                    return Err(format!("Cannot acquire image {id}, it is already in use"));
                }
            }
            None => {
                of(&pairs, "TYPE").ok_or("Neither IMAGE_ID nor TYPE in DISK")?;
                of(&pairs, "SIZE").and_then(|size| size.parse::<u64>().ok()).ok_or("Missing or wrong SIZE in DISK")?;
            }
        }
        if of(&pairs, "SIZE").is_none() {
            pairs.push(("SIZE".to_owned(), "2048".to_owned()));
        }
        if of(&pairs, "TARGET").is_none() {
            let letter = char::from(b'a' + u8::try_from(number).unwrap_or(25));
            pairs.push(("TARGET".to_owned(), format!("vd{letter}")));
        }
        pairs.push(("DISK_ID".to_owned(), number.to_string()));
        Ok(pairs)
    }

    /// An interface with its lease; `others` are those of the same machine, which is not in the pool yet.
    fn nic(&self, mut pairs: Pairs, others: &[Pairs]) -> Result<Pairs, String> {
        const KNOWN: [&str; 6] = ["NETWORK_ID", "IP", "IP6", "SECURITY_GROUPS", "IM_NETWORK", "IM_ADDED"];
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
            return Err(format!("{key} is no attribute of NIC"));
        }
        let id: i32 = of(&pairs, "NETWORK_ID").and_then(|id| id.parse().ok()).ok_or("NIC without NETWORK_ID")?;
        let network = self.networks.get(&id).ok_or_else(|| format!("Virtual network with ID: {id} does not exist"))?;
        if let Some(group) = of(&pairs, "SECURITY_GROUPS") {
            let known = group.parse().is_ok_and(|group: i32| self.groups.contains_key(&group));
            known.then_some(()).ok_or_else(|| format!("Security group {group} does not exist"))?;
        }
        let live = self.vms.values().filter(|vm| vm.state != DONE).flat_map(|vm| &vm.nics).chain(others);
        let used: BTreeSet<_> = live.filter_map(|nic| of(nic, "IP").map(str::to_owned)).collect();
        let [a, b, c] = network.first;
        let free = || (1..=250).map(|d| format!("{a}.{b}.{c}.{d}")).find(|ip| !used.contains(ip));
        let ip = match of(&pairs, "IP") {
            Some(ip) => Some(ip.to_owned()).filter(|ip| !used.contains(ip)),
            None => free(),
        };
        let ip = ip.ok_or_else(|| format!("Cannot get IP/MAC lease from virtual network {id}."))?;
        pairs.retain(|(key, _)| key != "IP");
        let number =
            others.iter().filter_map(|nic| of(nic, "NIC_ID")?.parse::<i32>().ok()).max().map_or(0, |last| last + 1);
        pairs.push(("NIC_ID".to_owned(), number.to_string()));
        pairs.push(("NETWORK".to_owned(), network.name.clone()));
        pairs.push(("IP".to_owned(), ip));
        Ok(pairs)
    }

    fn action(&mut self, action: &str, id: i32) -> Result<Outcome, Refusal> {
        let step = self.step;
        let vm = self.vm(id)?;
        let states: &[State] = match (action, vm.state) {
            ("release", HOLD) => &[PENDING, BOOT, RUNNING],
            ("suspend", RUNNING) => &[(3, 6), SUSPENDED],
            ("resume", SUSPENDED | POWEROFF) => &[(3, 20), RUNNING],
            ("poweroff" | "poweroff-hard", RUNNING) => &[(3, 18), POWEROFF],
            ("reboot" | "reboot-hard", RUNNING) => &[RUNNING],
            ("terminate" | "terminate-hard", HOLD | PENDING | SUSPENDED | POWEROFF) => &[DONE],
            ("terminate" | "terminate-hard", RUNNING) => &[(3, 12), (3, 11), DONE],
            ("release" | "suspend" | "resume" | "poweroff" | "poweroff-hard", _) => return Err(wrong_state(action)),
            ("reboot" | "reboot-hard" | "terminate" | "terminate-hard", _) => return Err(wrong_state(action)),
            _ => return Err((ACTION, format!("[one.vm.action] Action \"{action}\" is not supported"))),
        };
        vm.become_by(step, states);
        Ok(Outcome::Number(id))
    }

    fn resize(&mut self, id: i32, text: &str) -> Result<Outcome, Refusal> {
        let template = template::parse(text).ok_or_else(|| (INTERNAL, "Parse error".to_owned()))?;
        let vm = self.vm(id)?;
        if !matches!(vm.state, HOLD | PENDING | POWEROFF) {
            return Err(wrong_state("one.vm.resize"));
        }
        for (name, attribute) in template {
            match (name.as_str(), attribute) {
                ("CPU" | "VCPU" | "MEMORY", Attribute::One(value)) => vm.single.insert(name, value),
                _ => return Err((ALLOCATE, format!("{name} cannot be resized"))),
            };
        }
        Ok(Outcome::Number(id))
    }

    fn attach(&mut self, id: i32, text: &str, kind: &str) -> Result<Outcome, Refusal> {
        let template = template::parse(text).ok_or_else(|| (INTERNAL, "Parse error".to_owned()))?;
        let Some((name, Attribute::Many(pairs))) = template.into_iter().next() else {
            return Err((INTERNAL, format!("No {kind} in the template")));
        };
        let state = self.vm(id)?.state;
        if name != kind || !matches!(state, RUNNING | POWEROFF) {
            return Err(wrong_state("attach"));
        }
        let refused = |text: String| (ACTION, text);
        let (disks, nics) = {
            let vm = &self.vms[&id];
            (vm.disks.len(), vm.nics.clone())
        };
        let (disk, nic) = match kind {
            "DISK" => (Some(self.disk(pairs, disks).map_err(refused)?), None),
            _ => (None, Some(self.nic(pairs, &nics).map_err(refused)?)),
        };
        let step = self.step;
        let vm = self.vm(id)?;
        vm.disks.extend(disk);
        vm.nics.extend(nic);
        if state == RUNNING {
            vm.become_by(step, &[(3, if kind == "DISK" { 17 } else { 25 }), RUNNING]);
        }
        Ok(Outcome::Number(id))
    }

    fn detach_nic(&mut self, id: i32, nic: i32) -> Result<Outcome, Refusal> {
        let step = self.step;
        let vm = self.vm(id)?;
        if vm.state != RUNNING {
            return Err(wrong_state("detachnic"));
        }
        let before = vm.nics.len();
        vm.nics.retain(|pairs| of(pairs, "NIC_ID") != Some(&nic.to_string()));
        if vm.nics.len() == before {
            return Err((ACTION, format!("NIC with NIC_ID {nic} does not exist.")));
        }
        vm.become_by(step, &[(3, 25), RUNNING]);
        Ok(Outcome::Number(id))
    }

    fn save_as(&mut self, id: i32, disk: i32, name: &str) -> Result<Outcome, Refusal> {
        let step = self.step;
        if name.is_empty() || name.len() > 128 || self.images.values().any(|image| image.name == name) {
            return Err((ALLOCATE, "NAME is already taken, or none".to_owned()));
        }
        let vm = self.vm(id)?;
        if !matches!(vm.state, RUNNING | POWEROFF | SUSPENDED) {
            return Err(wrong_state("disksaveas"));
        }
        if !vm.disks.iter().any(|pairs| of(pairs, "DISK_ID") == Some(&disk.to_string())) {
            return Err((ACTION, format!("Disk {disk} does not exist")));
        }
        if vm.state == RUNNING {
            vm.become_by(step, &[(3, 26), RUNNING]);
        }
        let image = self.add_image(name, true, false);
        if let Some(image) = self.images.get_mut(&image) {
            image.ready = Instant::now() + step;
        }
        Ok(Outcome::Number(image))
    }

    fn delete_image(&mut self, id: i32) -> Result<Outcome, Refusal> {
        let gone = Instant::now() + self.step;
        let is_used = self.is_used(id);
        let image = self.images.get_mut(&id).ok_or_else(|| missing("image", id))?;
        if !image.users {
            return Err((AUTHORIZATION, "Not authorized to perform MANAGE IMAGE.".to_owned()));
        }
        if is_used || image.ready > Instant::now() || image.gone.is_some() {
            return Err((ACTION, "Cannot delete image in this state".to_owned()));
        }
        image.gone = Some(gone);
        Ok(Outcome::Number(id))
    }

    fn make_group(&mut self, text: &str) -> Result<Outcome, Refusal> {
        let template = group_template(text)?;
        let name = template.iter().find_map(|(name, value)| match value {
            Attribute::One(value) if name == "NAME" => Some(value.clone()),
            _ => None,
        });
        let name = name.ok_or_else(|| (ALLOCATE, "No NAME in template for Security Group.".to_owned()))?;
        if let Some((id, _)) = self.groups.iter().find(|(_, group)| group.name == name) {
            return Err((INTERNAL, format!("NAME is already taken by SECURITY GROUP {id}.")));
        }
        let id = self.next;
        self.next += 1;
        let template = template.into_iter().filter(|(key, _)| key != "NAME").collect();
        self.groups.insert(id, Group { name, template });
        Ok(Outcome::Number(id))
    }

    fn delete_group(&mut self, id: i32) -> Result<Outcome, Refusal> {
        let uses = |nic: &Pairs| of(nic, "SECURITY_GROUPS") == Some(&id.to_string());
        if self.vms.values().any(|vm| vm.state != DONE && vm.nics.iter().any(uses)) {
            return Err((ACTION, "Cannot delete security group. The security group has VMs using it".to_owned()));
        }
        self.groups.remove(&id).map(|_| Outcome::Number(id)).ok_or_else(|| missing("security group", id))
    }

    fn image_xml(&self, id: i32, image: &Image) -> String {
        let state = match image {
            Image { gone: Some(_), .. } => 6,
            Image { ready, .. } if *ready > Instant::now() => 4,
            _ if self.is_used(id) => 2,
            _ => 1,
        };
        let (name, persistent) = (escape(&image.name), u8::from(image.persistent));
        format!(
            "<IMAGE><ID>{id}</ID><UID>2</UID><UNAME>joe</UNAME><NAME>{name}</NAME><TYPE>0</TYPE><PERSISTENT>{persistent}\
             </PERSISTENT><SIZE>2048</SIZE><STATE>{state}</STATE><TEMPLATE/></IMAGE>"
        )
    }

    fn network_xml(&self, id: i32, network: &Network) -> String {
        let of_it = |nic: &&Pairs| of(nic, "NETWORK_ID") == Some(&id.to_string());
        let live = self.vms.values().filter(|vm| vm.state != DONE);
        let used = live.flat_map(|vm| &vm.nics).filter(of_it).count();
        let [a, b, c] = network.first;
        format!(
            "<VNET><ID>{id}</ID><UID>0</UID><NAME>{}</NAME><USED_LEASES>{used}</USED_LEASES><TEMPLATE/><AR_POOL><AR>\
             <AR_ID>0</AR_ID><IP>{a}.{b}.{c}.1</IP><SIZE>250</SIZE><TYPE>IP4</TYPE></AR></AR_POOL></VNET>",
            network.name
        )
    }

    fn user_xml(&self) -> String {
        let used = self.vms.values().filter(|vm| vm.state != DONE).count();
        let limit = self.most_vms.map_or(-2, i64::from);
        format!(
            "<USER><ID>2</ID><GID>1</GID><NAME>joe</NAME><VM_QUOTA><VM><CPU>100</CPU><CPU_USED>{used}</CPU_USED><MEMORY>\
             102400</MEMORY><MEMORY_USED>{used}</MEMORY_USED><VMS>{limit}</VMS><VMS_USED>{used}</VMS_USED></VM></VM_QUOTA>\
             <NETWORK_QUOTA/></USER>"
        )
    }
}

/// The template of a group, whose rules are checked as `oned` does.
fn group_template(text: &str) -> Result<Vec<(String, Attribute)>, Refusal> {
    let refused = |text: &str| (ALLOCATE, text.to_owned());
    let template = template::parse(text).ok_or_else(|| (INTERNAL, "Parse error".to_owned()))?;
    for (name, attribute) in &template {
        let Attribute::Many(rule) = attribute else { continue };
        if name != "RULE" {
            continue;
        }
        if !matches!(of(rule, "PROTOCOL"), Some("ALL" | "TCP" | "UDP" | "ICMP" | "ICMPV6" | "IPSEC")) {
            return Err(refused("Wrong PROTOCOL in RULE"));
        }
        if !matches!(of(rule, "RULE_TYPE"), Some("inbound" | "outbound")) {
            return Err(refused("Wrong RULE_TYPE in RULE"));
        }
        if of(rule, "RANGE").is_some() && !matches!(of(rule, "PROTOCOL"), Some("TCP" | "UDP")) {
            return Err(refused("RANGE is supported for TCP and UDP only"));
        }
        if of(rule, "IP").is_some() != of(rule, "SIZE").is_some() {
            return Err(refused("IP and SIZE belong together"));
        }
    }
    Ok(template)
}

/// A page of a pool: a range of ids, or, where `end` is below -1, that many items from the number `start` on.
fn pool(name: &str, items: impl Iterator<Item = (i32, String)>, start: i32, end: i32) -> Outcome {
    let items: Vec<_> = if end < -1 {
        let (skip, take) = (usize::try_from(start).unwrap_or(0), end.unsigned_abs() as usize);
        items.skip(skip).take(take).collect()
    } else {
        items.filter(|(id, _)| (start < 0 || *id >= start) && (end < 0 || *id <= end)).collect()
    };
    let body: String = items.into_iter().map(|(_, xml)| xml).collect();
    Outcome::Document(format!("<{name}>{body}</{name}>"))
}
