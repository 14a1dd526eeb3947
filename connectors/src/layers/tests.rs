//! Layers around a simulated cloud, in paused time.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Candidate, Capabilities, CloudAccount, Connector, Endpoint, ErrorClass, Found, ImageIntent, ImageUid,
    InfrastructureIntent, InfrastructureMark, Location, NewDisk, Observation, PublicAddress, Resize, SharedResources,
    VmIntent, VmMark,
    dummy::{Cloud, Dummy, Faults, Inventory},
};
use radl::System;
use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Layer that answers with these errors, one per call, before it lets calls through.
#[derive(Default)]
struct Script {
    errors: Mutex<VecDeque<ConnectorError>>,
    calls: AtomicUsize,
}

impl Script {
    fn of(errors: impl IntoIterator<Item = ErrorClass>) -> Arc<Self> {
        let errors = errors.into_iter().map(|class| ConnectorError::new(class, "scripted")).collect();
        Arc::new(Self { errors: Mutex::new(errors), calls: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Layer for Script {
    async fn around(&self, _call: &Call<'_>, next: Next<'_, '_>) -> Result<Reply, ConnectorError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let error = self.errors.lock().unwrap().pop_front();
        match error {
            Some(error) => Err(error),
            None => next.run().await,
        }
    }
}

fn simulated(faults: Faults) -> (Arc<Cloud>, Arc<Dummy>) {
    let cloud = Arc::new(Cloud::in_memory(|| 0));
    cloud.impose(Some(faults));
    let line = CloudAccount {
        id: "dummy".into(),
        kind: "Dummy".into(),
        endpoint: Endpoint::default(),
        fields: Default::default(),
    };
    let dummy = Dummy::new(Arc::clone(&cloud), &line).unwrap();
    (cloud, Arc::new(dummy))
}

fn intent(number: u32) -> VmIntent {
    VmIntent {
        infrastructure: "inf".into(),
        uid: VmUid(format!("vm-{number}")),
        number,
        fqdn: format!("vnode-{number}.localdomain"),
        location: Location::default(),
        system: System::default(),
        requested: System::default(),
        networks: Vec::new(),
        tags: Vec::new(),
        user_data: Default::default(),
    }
}

fn retry() -> Arc<Retry> {
    Arc::new(Retry::new(RetryPolicy::default(), || 1.0))
}

#[tokio::test(start_paused = true)]
async fn classes_decide_on_retries() {
    use ErrorClass::*;
    let cases: [(&[ErrorClass], Option<ErrorClass>, u64); 9] = [
        (&[Transient, Conflict], None, 1 + 2),
        (&[Transient, WaitTimeout, Conflict], Some(Conflict), 1 + 2),
        (&[Throttled, Throttled, Throttled, Throttled, Transient, Transient], None, 1 + 2 + 4 + 8 + 1 + 2),
        // What the cloud decided is the engine's to repeat.
        (&[Capacity], Some(Capacity), 0),
        (&[Transient, ProviderFailed], Some(ProviderFailed), 1),
        (&[Quota], Some(Quota), 0),
        (&[Auth], Some(Auth), 0),
        (&[Invalid], Some(Invalid), 0),
        (&[NotFound], Some(NotFound), 0),
    ];
    for (errors, outcome, seconds) in cases {
        let (_, dummy) = simulated(Faults::default());
        let layered = Layered::new(dummy, vec![retry(), Script::of(errors.iter().copied())]);
        let start = Instant::now();
        let result = layered.create_vm(&intent(0)).await;
        assert_eq!(result.err().map(|error| error.class), outcome, "{errors:?}");
        assert_eq!(start.elapsed().as_secs(), seconds, "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_cloud_without_room_is_repeated_here_for_nobody_else_does() {
    let (_, dummy) = simulated(Faults::default());
    let script = Script::of([ErrorClass::Capacity, ErrorClass::Capacity]);
    let layered = Layered::new(dummy, vec![retry(), script.clone()]);
    layered.candidates(&System::default()).await.unwrap();
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn throttling_is_honoured_within_the_budget() {
    let faults = Faults {
        failures: vec![(ErrorClass::Throttled, 1.0)],
        retry_after: Some(Duration::from_secs(40)),
        ..Faults::default()
    };
    let (_, dummy) = simulated(faults);
    let script = Script::of([]);
    let policy = RetryPolicy { budget: Duration::from_secs(300), ..RetryPolicy::default() };
    let layered = Layered::new(dummy, vec![Arc::new(Retry::new(policy, || 1.0)), script.clone()]);
    let start = Instant::now();
    let error = layered.find(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Throttled);
    assert_eq!(start.elapsed(), Duration::from_secs(7 * 41), "seven pauses of 41 s fit in 300 s");
    assert_eq!(script.calls(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_repeatable_is_repeated_only_after_a_refusal() {
    let (_, dummy) = simulated(Faults::default());
    let id = dummy.create_vm(&intent(0)).await.unwrap();
    let vm = VmMark { id: Some(id), ..intent(0).mark() };
    for (class, calls) in [(ErrorClass::Transient, 1), (ErrorClass::Throttled, 2)] {
        let script = Script::of([class]);
        let layered = Layered::new(dummy.clone(), vec![retry(), script.clone()]);
        let result = layered.power(&vm, PowerOperation::Reboot).await;
        assert_eq!((result.is_ok(), script.calls()), (calls == 2, calls));
    }
}

/// A cloud that does not recognise a uid: each `create_vm` makes one more machine, and the first replies go wrong.
#[derive(Default)]
struct Forgetful {
    machines: Mutex<Vec<Found>>,
    replies: Mutex<VecDeque<Option<ErrorClass>>>,
    made: AtomicUsize,
}

#[async_trait]
impl Connector for Forgetful {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        Ok(vec![system.clone().into()])
    }
    async fn ensure_shared(&self, _: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        Ok(SharedResources::default())
    }
    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        if let Some(made) = self.machines.lock().unwrap().iter().find(|machine| machine.uid == intent.uid) {
            return Ok(made.id.clone());
        }
        let id = ProviderId(format!("machine-{}", self.made.fetch_add(1, Ordering::Relaxed)));
        self.machines.lock().unwrap().push(Found {
            uid: intent.uid.clone(),
            id: id.clone(),
            location: Location::default(),
        });
        let reply = self.replies.lock().unwrap().pop_front();
        match reply {
            Some(Some(class)) => Err(ConnectorError::new(class, "scripted")),
            Some(None) => std::future::pending().await,
            None => Ok(id),
        }
    }
    async fn find(&self, _: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        Ok(self.machines.lock().unwrap().clone())
    }
    async fn observe(&self, _: &Location, _: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        Ok(Vec::new())
    }
    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        self.machines.lock().unwrap().retain(|machine| machine.uid != vm.uid);
        Ok(())
    }
    async fn delete_shared(&self, _: &InfrastructureMark) -> Result<(), ConnectorError> {
        Err(ConnectorError::new(ErrorClass::NotFound, "nothing there"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_unknown_fate_is_adopted() {
    for reply in [Some(ErrorClass::Transient), None] {
        let cloud = Arc::new(Forgetful { replies: Mutex::new([reply].into()), ..Forgetful::default() });
        let layered = Layered::new(cloud.clone(), vec![retry(), Arc::new(Timeout::new(Timeouts::default()))]);
        assert_eq!(layered.create_vm(&intent(0)).await.unwrap().0, "machine-0", "{reply:?}");
        assert_eq!((cloud.made.load(Ordering::Relaxed), cloud.machines.lock().unwrap().len()), (1, 1), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_machine_is_cleared_away_for_the_next_attempt() {
    let replies = Mutex::new([Some(ErrorClass::ProviderFailed)].into());
    let cloud = Arc::new(Forgetful { replies, ..Forgetful::default() });
    let layered = Layered::new(cloud.clone(), vec![retry()]);
    assert_eq!(layered.create_vm(&intent(0)).await.unwrap_err().class, ErrorClass::ProviderFailed);
    assert!(cloud.machines.lock().unwrap().is_empty());
    assert_eq!(layered.create_vm(&intent(0)).await.unwrap().0, "machine-1");
    assert_eq!(cloud.machines.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_offered_fails_before_any_layer() {
    let script = Script::of([]);
    let layered = Layered::new(Arc::new(Forgetful::default()), vec![script.clone()]);
    let vm = VmMark { id: Some(ProviderId("x".into())), ..intent(0).mark() };
    let disk = Resize { disks: vec![NewDisk { index: 1, size: Some(1), ..NewDisk::default() }], ..Resize::default() };
    let address = Resize { public_address: Some(PublicAddress::Remove), ..Resize::default() };
    let uid = ImageUid("i".to_owned());
    let image = ImageIntent {
        infrastructure: "inf".to_owned(),
        location: Location::default(),
        uid,
        disk: 0,
        name: "n".to_owned(),
    };
    for error in [
        layered.power(&vm, PowerOperation::Stop).await.unwrap_err(),
        layered.resize(&intent(0).mark(), &disk).await.unwrap_err(),
        layered.resize(&intent(0).mark(), &address).await.unwrap_err(),
        layered.snapshot(&vm, &image).await.unwrap_err(),
        layered.quotas(None).await.unwrap_err(),
    ] {
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Unsupported, "Operation not supported"));
    }
    assert_eq!(script.calls(), 0);
    layered.delete_shared(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap();
    assert_eq!(script.calls(), 1, "what is already gone counts as deleted");
}

#[tokio::test(start_paused = true)]
async fn writes_wait_for_each_other_and_reads_do_not_wait_for_them() {
    let latency = Duration::from_secs(1);
    let (cloud, dummy) = simulated(Faults { latency: (latency, latency), ..Faults::default() });
    let limits = ConcurrencyLimits { reads: 1, writes: 2 };
    let layered = Layered::new(dummy, vec![Arc::new(Concurrency::new(&limits))]);
    let start = Instant::now();
    let intents: Vec<_> = (0..6).map(intent).collect();
    let writes = futures::future::join_all(intents.iter().map(|intent| layered.create_vm(intent)));
    let read = async {
        layered.find(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap();
        start.elapsed()
    };
    let (writes, read) = tokio::join!(writes, read);
    assert!(writes.iter().all(Result::is_ok));
    // Each write looks first what is there.
    assert_eq!((start.elapsed().as_secs(), read.as_secs()), (6, 1));
    assert!(!cloud.inspect(Inventory::is_empty).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_holds_its_other_calls_back() {
    let (cloud, dummy) = simulated(Faults {
        failures: vec![(ErrorClass::Throttled, 1.0)],
        retry_after: Some(Duration::from_secs(5)),
        ..Faults::default()
    });
    let layered = Layered::new(dummy, vec![Arc::new(Concurrency::new(&ConcurrencyLimits::default()))]);
    layered.find(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap_err();
    cloud.impose(None);
    let start = Instant::now();
    layered.find(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    layered.find(&InfrastructureMark::in_whole_cloud("inf")).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5, "only until the time is over");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_outcome_and_dropped_calls_end() {
    let registry = prometheus::Registry::new();
    let metrics = CallMetrics::register(&registry).unwrap();
    let latency = Duration::from_secs(1);
    let (_, dummy) = simulated(Faults { latency: (latency, latency), ..Faults::default() });
    let script = Script::of([ErrorClass::Transient]);
    let layered = Layered::new(dummy, vec![retry(), Arc::new(Metrics::new(metrics.clone(), "Dummy")), script]);
    layered.create_vm(&intent(0)).await.unwrap();
    let dropped =
        tokio::time::timeout(Duration::from_millis(100), layered.find(&InfrastructureMark::in_whole_cloud("inf")))
            .await;
    assert!(dropped.is_err());
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        r#"imd_cloud_calls_total{cloud="Dummy",operation="create_vm",outcome="ok"} 1"#,
        r#"imd_cloud_calls_total{cloud="Dummy",operation="create_vm",outcome="transient"} 1"#,
        // A look at what is there, and the creation, of a second each.
        r#"imd_cloud_call_seconds_sum{cloud="Dummy",operation="create_vm"} 2"#,
        r#"imd_cloud_calls_running{cloud="Dummy"} 0"#,
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
    }
    assert!(CallMetrics::register(&registry).is_err(), "names are taken");
}

#[test]
fn class_names_are_those_of_json() {
    for class in [ErrorClass::Auth, ErrorClass::NotFound, ErrorClass::ProviderFailed, ErrorClass::WaitTimeout] {
        assert_eq!(serde_json::to_value(class).unwrap(), class.name());
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn traces_name_what_a_call_is_about_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _traced = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
    let fields = [("username", "user"), ("password", "s3cr3t-a"), ("token", "s3cr3t-b")];
    let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let line = CloudAccount {
        id: "dummy".into(),
        kind: "Dummy".into(),
        endpoint: Endpoint::default(),
        fields: fields.into_iter().collect(),
    };
    let registry = crate::Registry::new(crate::ConnectorSettings::default());
    let connector = registry.connector(&line).unwrap();
    let faults = Faults { failures: vec![(ErrorClass::Transient, 1.0)], ..Faults::default() };
    registry.simulated_cloud().unwrap().impose(Some(faults));
    let mut intent = intent(0);
    intent.system.features.set_text("disk.0.os.credentials.password", "s3cr3t-c");
    connector.create_vm(&intent).await.unwrap_err();
    tracing::debug!(?line, "the line itself may be logged");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let failed = text.lines().find(|line| line.contains("WARN")).unwrap();
    for part in
        [r#"cloud="Dummy""#, r#"operation="create_vm""#, r#"infrastructure="inf""#, r#"uid="vm-0""#, "transient"]
    {
        assert!(failed.contains(part), "{part} in {failed}");
    }
    assert!(!text.contains("s3cr3t"), "{text}");
}
