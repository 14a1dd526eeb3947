//! The table of all options: everything else (parsing, check-config, near-miss warnings, etc/im.cfg) derives from it.
//!
//! One row is one option: its description as a doc comment, the field with its type, the default as one would write it
//! in `im.cfg`, and its status. The option's name is the field's in upper case.

use super::{Reader, value::*};
use ipnetwork::{IpNetwork, Ipv4Network};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Whether an option does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what its description says.
    Active,
    /// Known, but what it switches is not in this version: setting it is reported.
    Later(&'static str),
    /// Known from older daemons, without meaning in this one, and why: setting it is reported.
    NoEffect(&'static str),
}
use Status::{Active, Later, NoEffect};

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// Section, as written.
    pub section: &'static str,
    /// Heading it stands under in `etc/im.cfg`.
    pub group: &'static str,
    /// Name in lower case.
    pub key: &'static str,
    /// Type in an operator's words.
    pub kind: &'static str,
    /// Default as written.
    pub default: &'static str,
    /// Lines of the description.
    pub description: &'static [&'static str],
    /// Whether it does something.
    pub status: Status,
    /// Whether its value must never be shown.
    pub secret: bool,
}

impl OptionRow {
    /// Name as operators write it.
    #[must_use]
    pub fn name(&self) -> String {
        self.key.to_uppercase()
    }
}

macro_rules! section {
    (
        $(#[$meta:meta])* $name:ident [$section:literal] as $rows:ident { $($(#[$pmeta:meta])* $part:ident: $part_type:ident,)* }
        $($group:literal { $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal, $status:expr;)+ })+
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $($($(#[doc = $doc])+ pub $field: $type,)+)+
            $($(#[$pmeta])* pub $part: $part_type,)*
        }

        impl $name {
            /// Reads every option before giving up, so that all complaints come at once.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $($(let $field = reader.value::<$type>($section, stringify!($field));)+)+
                $(let $part = $part_type::read(reader);)*
                Some(Self { $($($field: $field?,)+)+ $($part: $part?,)* })
            }
        }

        const $rows: &[OptionRow] = &[$($(OptionRow {
            section: $section,
            group: $group,
            key: stringify!($field),
            kind: <$type as OptionValue>::KIND,
            default: $default,
            description: &[$($doc),+],
            status: $status,
            secret: <$type as OptionValue>::SECRET,
        },)+)+];
    };
}

/// Every option, in the order of `etc/im.cfg`.
pub fn rows() -> impl Iterator<Item = &'static OptionRow> {
    [IM, OPENNEBULA, DOCKER, LOCAL, DUMMY].into_iter().flatten()
}

const OIDC: Status = Later("OpenID Connect; every token is refused");
const VAULT: Status = Later("credentials from Vault");
const SINGLE: Status = Later("the single-site mode");
const HELD_INSIDE: Status = NoEffect("recipes and agent are part of the program");

section! {
    /// Options of `[im]`; those of other sections hang below it. Secret values do not show in its Debug output.
    Config ["im"] as IM {
        /// Section `[OpenNebula]`.
        opennebula: OpenNebula,
        /// Section `[Docker]`.
        docker: Docker,
        /// Section `[Local]`.
        local: Local,
        /// Section `[Dummy]`.
        dummy: Dummy,
    }

    "REST API" {
        /// Whether the REST API is served.
        activate_rest: bool = "True", Active;
        /// Port of the REST API.
        rest_port: u16 = "8800", Active;
        /// Address the REST API listens on.
        rest_address: IpAddr = "0.0.0.0", Active;
        /// URL under which machines and users reach the REST API, e.g. https://im.example.org/im. Links and boot commands
        /// are made with it; empty: the address the request came to.
        public_url: Option<String> = "", Active;
        /// Largest body of a request, bytes.
        rest_max_body_size: u64 = "16777216", Active;
        /// Largest header of a request, bytes; it carries the credentials of all clouds.
        rest_max_header_size: usize = "131072", Active;
        /// Connections at the same time. A further one takes the place of the one whose client keeps the daemon waiting for
        /// the longest time; it waits while none does.
        rest_max_connections: usize = "1000", Active;
        /// Connections from one address at the same time, likewise. Behind a proxy all clients have its address.
        rest_max_connections_per_address: usize = "500", Active;
        /// Event streams at the same time; further ones are refused.
        rest_max_event_streams: usize = "250", Active;
        /// Event streams of one user at the same time; further ones are refused.
        rest_max_event_streams_per_user: usize = "50", Active;
        /// Whether the REST API is served with TLS.
        rest_ssl: bool = "False", Active;
        /// Private key of the REST API, PEM.
        rest_ssl_keyfile: PathBuf = "/etc/im/pki/server-key.pem", Active;
        /// Certificate of the REST API and those between it and its root, PEM.
        rest_ssl_certfile: PathBuf = "/etc/im/pki/server-cert.pem", Active;
        /// Certificates of the authorities that sign the clients' ones, which clients may show; empty: none is asked for.
        rest_ssl_ca_certs: Option<PathBuf> = "/etc/im/pki/ca-chain.pem", Active;
        /// Whether browsers may call the REST API from pages of other origins.
        enable_cors: bool = "False", Active;
        /// Origins that may.
        cors_origin: String = "*", Active;
        /// Directory served below /static.
        static_files_dir: Option<PathBuf> = "", Later("static files");
    }

    "XML-RPC API" {
        /// Whether the XML-RPC API is served.
        activate_xmlrpc: bool = "True", Active;
        /// Port of the XML-RPC API (the names keep their historical spelling).
        xmlrcp_port: u16 = "8899", Active;
        /// Address the XML-RPC API listens on.
        xmlrcp_address: IpAddr = "0.0.0.0", Active;
        /// Largest body of a call, bytes, compressed or not.
        xmlrcp_max_body_size: u64 = "16777216", Active;
        /// Largest header of a call, bytes.
        xmlrcp_max_header_size: usize = "131072", Active;
        /// Connections at the same time. A further one takes the place of the one whose client keeps the daemon waiting for
        /// the longest time; it waits while none does.
        xmlrcp_max_connections: usize = "1000", Active;
        /// Connections from one address at the same time, likewise. Behind a proxy all clients have its address.
        xmlrcp_max_connections_per_address: usize = "500", Active;
        /// Whether the XML-RPC API is served with TLS.
        xmlrcp_ssl: bool = "False", Active;
        /// Private key of the XML-RPC API, PEM.
        xmlrcp_ssl_keyfile: PathBuf = "/etc/im/pki/server-key.pem", Active;
        /// Certificate of the XML-RPC API and those between it and its root, PEM.
        xmlrcp_ssl_certfile: PathBuf = "/etc/im/pki/server-cert.pem", Active;
        /// Certificates of the authorities that sign the clients' ones, which clients may show; empty: none is asked for.
        xmlrcp_ssl_ca_certs: Option<PathBuf> = "/etc/im/pki/ca-chain.pem", Active;
        /// Whether GetVMInfo of XML-RPC answers JSON.
        vminfo_json: bool = "False", Active;
    }

    "Operation" {
        /// 0: every operation is allowed; 1: read only; 2: read and delete.
        boot_mode: BootMode = "0", Active;
        /// Bytes of memory for the bodies of all requests while they arrive and are read, in both APIs. Further ones wait;
        /// the one whose client lets the daemon wait for longest makes room. Bodies of less than 16 KiB do not count.
        max_body_memory: u64 = "134217728", Active;
    }

    "Database" {
        /// Where infrastructures are stored: a path, sqlite:///path, mysql://user:password@host:port/database or
        /// mongodb://user:password@host:port/database, special characters in percent encoding. Several daemons of
        /// one host may use the file of sqlite:///path?shared=yes.
        data_db: DatabaseUrl = "sqlite:///etc/im/inf.dat", Active;
        /// File of the keys that seal what is stored; made, readable by its owner only, at the first start. Keep a copy
        /// apart from the database: without it the stored infrastructures cannot be read.
        data_key_file: PathBuf = "/var/lib/imd/data.key", Active;
        /// The keys themselves, instead of the file: 32 bytes each as base64 or hexadecimal, the newest first. Meant for
        /// the variable IM_DATA_KEY, as im.cfg is read by more people than a secret should be.
        data_key: Option<Secret> = "", Active;
        /// Days after its creation that an infrastructure which was deleted is kept for the statistics; 0: until `imd purge`
        /// removes it.
        purge_after_days: u32 = "0", Active;
        /// Seconds that an answer from memory may be old while the database is away; 0: as old as it is. Otherwise every
        /// answer is up to date.
        inf_cache_time: Duration = "0", Active;
    }

    "Cluster" {
        /// Seconds after which other daemons that share the database take over what a daemon kept that died or does not
        /// reach the database any more; at least 2.
        lease_time: Duration = "6", Active;
        /// Address at which the other daemons reach this one; empty: that of this host on the way to the database.
        cluster_address: Option<IpAddr> = "", Active;
        /// Port for the other daemons. What they say to each other is sealed with the data key.
        cluster_port: u16 = "8898", Active;
        /// URL under which the other daemons reach this one, where it is not http:// with address and port.
        cluster_url: Option<String> = "", Active;
    }

    "Users" {
        /// File of those who may use the daemon: {"users": [{"username": "...", "password": "..."}]}; read again when it
        /// changes. Empty: any username and password is a user of its own.
        user_db: Option<PathBuf> = "", Active;
        /// Administrators, who see every infrastructure: {"username": "...", "password": "..."} or an array of such.
        admin_user: Vec<AdminUser> = "{}", Active;
        /// Whether a token is required. Honoured, and as tokens cannot be validated yet, nobody is admitted then.
        force_oidc_auth: bool = "False", OIDC;
        /// Issuers whose tokens are accepted.
        oidc_issuers: Vec<String> = "", OIDC;
        /// Audience that tokens must have.
        oidc_audience: Option<String> = "", OIDC;
        /// Client id for the introspection of tokens.
        oidc_client_id: Option<String> = "", OIDC;
        /// Client secret for the introspection of tokens.
        oidc_client_secret: Option<Secret> = "", OIDC;
        /// Scopes that tokens must have.
        oidc_scopes: Vec<String> = "", OIDC;
        /// Groups the user must be in.
        oidc_groups: Vec<String> = "", OIDC;
        /// Claim that lists the user's groups.
        oidc_groups_claim: String = "groups", OIDC;
        /// Groups of administrators: an array of {"issuer": "...", "group": "..."}.
        oidc_admin_groups: Vec<AdminGroup> = "[]", OIDC;
        /// Path of the issuer's user information.
        oidc_user_info_path: String = "/userinfo", NoEffect("the issuer's discovery document names the address");
        /// Path of the issuer's introspection.
        oidc_instrospect_path: String = "/introspect", NoEffect("the issuer's discovery document names the address");
        /// Address of the Vault server that holds users' credentials.
        vault_url: Option<String> = "", VAULT;
        /// Path of the credentials in it.
        vault_path: Option<String> = "", VAULT;
        /// Its mount point.
        vault_mount_point: Option<String> = "", VAULT;
        /// Role to log in with.
        vault_role: Option<String> = "", VAULT;
        /// Whether users bring credentials for this daemon's one cloud only.
        single_site: bool = "False", SINGLE;
        /// Type of the one cloud.
        single_site_type: String = "", SINGLE;
        /// Its host.
        single_site_auth_host: String = "", SINGLE;
        /// Start of the image URLs of the one cloud.
        single_site_image_url_prefix: String = "", SINGLE;
    }

    "Launching machines" {
        /// How many machines of an infrastructure are launched, stopped, started or deleted at a time.
        max_simultaneous_launches: usize = "5", Active;
        /// Machines that one request may ask for.
        max_vms_per_request: u32 = "10000", Active;
        /// Bytes that the documents of all machines of one request may have together: system, networks and data for
        /// cloud-init, as text, once for each machine. What machines share is kept once, but clouds and contextualization
        /// use it for each.
        max_deployed_size: u64 = "268435456", Active;
        /// Attempts to launch a machine.
        max_vm_fails: u32 = "3", Active;
        /// Seconds between them.
        delay_between_vm_retries: Duration = "5", Active;
        /// Seconds a machine may take until it runs.
        wait_running_vm_timeout: Duration = "1800", Active;
        /// Seconds a running machine may take until SSH answers.
        wait_ssh_acccess_timeout: Duration = "300", Active;
        /// Seconds a machine may take until it has its public address.
        wait_public_ip_timeout: Duration = "90", Active;
        /// Seconds between two questions to the cloud about a machine.
        vm_info_update_frequency: Duration = "10", Active;
        /// Seconds a cloud may fail to answer until a machine's state is unknown.
        vm_info_update_error_grace_period: Duration = "120", Active;
        /// Memory of a machine whose document does not say.
        default_vm_memory: u64 = "512", Active;
        /// Unit of it.
        default_vm_memory_unit: String = "M", Active;
        /// Cores of a machine whose document does not say.
        default_vm_cpus: u32 = "1", Active;
        /// Architecture of a machine whose document does not say.
        default_vm_cpu_arch: String = "x86_64", Active;
        /// Host name of a machine whose document does not say; #N# is its number.
        default_vm_name: String = "vnode-#N#", Active;
        /// Domain of a machine whose document does not say.
        default_domain: String = "localdomain", Active;
        /// Addresses that are private.
        private_net_masks: Vec<IpNetwork> =
            "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,100.64.0.0/10,192.0.0.0/24,198.18.0.0/15", Active;
        /// Whether the certificates of clouds are verified. False is open to whoever sits in between.
        verifi_ssl: bool = "True", Later("clouds reached over TLS");
        /// Name of the tag that carries the user name; empty: no tag.
        vm_tag_username: Option<String> = "", Active;
        /// Name of the tag that carries the infrastructure id; empty: no tag.
        vm_tag_inf_id: Option<String> = "", Active;
        /// Name of the tag that carries the daemon's URL (PUBLIC_URL); empty: no tag.
        vm_tag_im_url: Option<String> = "", Later("this tag");
        /// Name of the tag that says which software made the machine; empty: no tag.
        vm_tag_im: Option<String> = "", Later("this tag");
    }

    "Contextualization" {
        /// Seconds the contextualization of an infrastructure may take.
        max_contextualization_time: Duration = "7200", Active;
        /// Directory on the machines.
        remote_conf_dir: String = "/var/tmp/.im", Active;
        /// Attempts per task and machine.
        playbook_retries: u32 = "3", Active;
        /// Seconds that making Ansible available on the master may take.
        ansible_install_timeout: Duration = "900", Active;
        /// Ansible that runs the recipes unless a document says otherwise: a version of the package (9) or of ansible-core
        /// (2.16), the newest up to it that a master's Python can run; or latest. Also read from the variable
        /// ANSIBLE_VERSION.
        ansible_version: String = "9", Active;
        /// Directory of the offline Ansible bundles on this host.
        ctxt_bundle_dir: PathBuf = "/var/lib/imd/bundles", Active;
        /// Whether Ansible may be installed from the network when there is neither a bundle nor an installed one, and Python
        /// from the distribution of the master.
        ctxt_allow_online: bool = "False", Active;
        /// Python package index that masters then use, e.g. https://pypi.example.org/simple; empty: what their pip is
        /// configured to use.
        ctxt_pip_index: Option<String> = "", Active;
        /// Machines Ansible works on at a time.
        ctxt_forks: u32 = "50", Active;
        /// SSH connections of the whole daemon.
        ctxt_max_ssh: usize = "256", Active;
        /// What recipes see in IM_INFRASTRUCTURE_AUTH: scoped (a token for their infrastructure), full (the owner's
        /// credentials for this daemon) or none.
        ctxt_expose_auth: ExposeAuth = "scoped", Active;
        /// Host keys of machines: tofu (the first one seen must stay) or off.
        ctxt_hostkey: HostKeys = "tofu", Active;
        /// Keys that are made for machines without credentials, and for infrastructures: rsa (2048 bits, in the PEM form that
        /// clients of the Infrastructure Manager read) or ed25519 (in OpenSSH's form).
        ssh_key_type: SshKeyType = "rsa", Active;
        /// Bytes of log kept per machine and run.
        ctxt_log_max: usize = "10485760", Active;
        /// Whether logs are reduced to ASCII.
        ctxt_log_ascii: bool = "False", Active;
        /// Types of IM_NODE_NUM and *_NUM_VMS: r2 (strings) or r1 (integers).
        ctxt_inventory_types: InventoryTypes = "r2", Active;
        /// Which archive of Ansible collections masters get from the directory of bundles: slim, default or full.
        ctxt_collections: Collections = "default", Active;
        /// Galaxy server or mirror that roles and collections come from; empty: the public one. Documents may name http://
        /// URLs on it if it is http:// itself.
        ctxt_galaxy_server: Option<String> = "", Active;
        /// Directory on this host with archives of roles (NAMESPACE.NAME-VERSION.tar.gz) and collections
        /// (NAMESPACE-NAME-VERSION.tar.gz) that are sent to masters instead of being downloaded there.
        ctxt_galaxy_dir: Option<PathBuf> = "", Active;
        /// Whether stopping the daemon ends running contextualizations, which else go on by themselves.
        ctxt_kill_on_stop: bool = "False", Active;
        /// Whether machines that their master cannot reach connect back, where PUBLIC_URL says how they reach this daemon.
        ssh_reverse_tunnels: bool = "True", Active;
        /// Seconds between two looks at a running configuration.
        check_ctxt_process_interval: u32 = "10", NoEffect("progress is followed live");
        /// Seconds between two turns of the configuration manager.
        confmamager_check_state_interval: u32 = "5", NoEffect("progress is followed live");
        /// Seconds between two updates of the log.
        update_ctxt_log_interval: u32 = "20", NoEffect("logs are followed live");
        /// Number of machines from which the distributed agent was used.
        vm_num_use_ctxt_dist: u32 = "30", NoEffect("one Ansible run serves all machines of a step");
        /// Polls of the agent that may fail.
        max_ssh_errors: u32 = "5", NoEffect("a lost connection is made again until the time is over");
        /// Directory of the installation.
        im_path: Option<PathBuf> = "", HELD_INSIDE;
        /// Directory of the agent.
        contextualization_dir: Option<PathBuf> = "", HELD_INSIDE;
        /// Directory of the recipes.
        recipes_dir: Option<PathBuf> = "", HELD_INSIDE;
        /// Database of the recipes.
        recipes_db_file: Option<PathBuf> = "", HELD_INSIDE;
    }

    "Logs" {
        /// Log file; its directory is made when missing. Empty: none.
        log_file: Option<PathBuf> = "/var/log/im/im.log", Active;
        /// Bytes after which it is rotated; three older ones are kept. 0: never.
        log_file_max_size: u64 = "10485760", Active;
        /// DEBUG, INFO, WARN, WARNING, ERROR, FATAL or CRITICAL. The variable RUST_LOG wins over it.
        log_level: LogLevel = "INFO", Active;
        /// text, or json: one object per line.
        log_format: LogFormat = "text", Active;
        /// Whether the log also goes to standard error.
        log_stderr: bool = "True", Active;
    }

    "Files that documents of TOSCA name, and the repository of templates" {
        /// Hosts that documents may import files from by https, separated by commas: name, name:port, *.name, or * for any.
        /// Only hosts with public addresses, whatever is written here. Empty: only the types that are shipped.
        tosca_import_hosts: Vec<String> = "", Active;
        /// Directory with copies of files on the web, DIRECTORY/HOST/PATH, which documents may always import.
        tosca_mirror_dir: Option<PathBuf> = "", Active;
        /// URL of the folder with the templates, https://github.com/OWNER/REPOSITORY/blob/BRANCH/FOLDER/ or any one with a copy in
        /// TOSCA_MIRROR_DIR. With name and description, its templates are published at /oai (OAI-PMH 2.0).
        oaipmh_repo_base_identifier_url: Option<String> = "", Active;
        /// Name of the repository.
        oaipmh_repo_name: Option<String> = "", Active;
        /// Description of the repository.
        oaipmh_repo_description: Option<String> = "", Active;
        /// Address of its administrator.
        oaipmh_repo_admin_email: Option<String> = "", Active;
    }
}

const TTS: Status = NoEffect("OpenNebula takes a login token as the password of a credential line");

section! {
    /// Options of `[OpenNebula]`.
    OpenNebula ["OpenNebula"] as OPENNEBULA {}

    "OpenNebula" {
        /// Text added to the CONTEXT of the template.
        template_context: String = "", Active;
        /// Text added to the template.
        template_other: String = "GRAPHICS = [type=\"vnc\",listen=\"0.0.0.0\"]", Active;
        /// Owner of the images.
        image_uname: String = "", Active;
        /// Address of the token translation service.
        tts_url: String = "https://localhost:8443", TTS;
    }
}

section! {
    /// Options of `[Docker]`: engines of containers.
    Docker ["Docker"] as DOCKER {}

    "Engines of containers" {
        /// Whether credentials may name sockets of this host (unix://). Whoever may use such an engine is root here.
        unix_sockets: bool = "False", Active;
    }
}

section! {
    /// Options of `[Local]`: the cloud made of nodes on this host.
    Local ["Local"] as LOCAL {}

    "Nodes on this host. Whoever may call the API becomes root in them: for one trusted user, tests and demos" {
        /// Whether there is such a cloud.
        enabled: bool = "False", Active;
        /// Directory of its state, disks and images.
        state_dir: PathBuf = "/var/lib/imd/local", Active;
        /// Reserved range that public networks, reachable from this host, are taken from.
        public_pool: Ipv4Network = "198.18.0.0/16", Active;
        /// Reserved range that private networks are taken from.
        private_pool: Ipv4Network = "10.160.0.0/11", Active;
        /// Directories of the host that nodes see empty, besides the state directory, /root and /home.
        hide: Vec<PathBuf> = "/srv,/mnt,/media,/var/lib/imd,/var/lib/docker,/etc/imd,/etc/im", Active;
        /// Whether cores and memory of a node are limited, where the host allows it.
        limits: bool = "True", Active;
        /// How many nodes there may be.
        max_vms: usize = "200", Active;
        /// Where disks live: disk (state directory), a number of bytes of memory, or auto.
        storage: LocalStorage = "auto", Active;
    }
}

section! {
    /// Options of `[Dummy]`: the simulated cloud.
    Dummy ["Dummy"] as DUMMY {}

    "The simulated cloud" {
        /// Directory its machines are kept in, so that they outlive the daemon; empty: in memory.
        state_dir: Option<PathBuf> = "", Active;
        /// Unix socket of a simulated cloud that is a process of its own (program `simulated-cloud`), in place of STATE_DIR.
        socket: Option<PathBuf> = "", Active;
    }
}

impl std::fmt::Display for OptionRow {
    /// The option as `etc/im.cfg` documents it: description, status, and the default commented out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.description {
            writeln!(f, "#{line}")?;
        }
        match self.status {
            Active => {}
            Later(what) => writeln!(f, "# Not available in this version: {what}.")?,
            NoEffect(why) => writeln!(f, "# Accepted, without effect: {why}.")?,
        }
        writeln!(f, "# ({})", self.kind)?;
        writeln!(f, "{}", format!("#{} = {}", self.name(), self.default.replace('%', "%%")).trim_end())
    }
}
