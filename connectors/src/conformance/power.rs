//! Machines that are stopped, started and reset.

use super::{
    Subject,
    subject::{class, must, unknown},
};
use crate::{ErrorClass, PowerOperation, PowerState};

/// Stop, start and reset, each safe to repeat; a missing machine is `NotFound`.
pub async fn changes_power(subject: &Subject) {
    let (connector, offers) = (&subject.connector, subject.connector.capabilities());
    let ids = subject.launch("power", 2).await;
    subject.reach(&ids, PowerState::Running).await;
    let (id, vm) = (&ids[0], subject.mark("power", 0, &ids[0]));
    if offers.stop_start {
        for (operation, state) in
            [(PowerOperation::Stop, PowerState::Stopped), (PowerOperation::Start, PowerState::Running)]
        {
            must("change power", connector.power(&vm, operation).await);
            subject.reach(std::slice::from_ref(id), state).await;
            must("change power again", connector.power(&vm, operation).await);
            subject.reach(std::slice::from_ref(id), state).await;
        }
        let missing = connector.power(&subject.mark("power", 2, &unknown()), PowerOperation::Start).await;
        assert_eq!(class(missing), ErrorClass::NotFound);
    }
    if offers.reboot {
        must("reboot", connector.power(&vm, PowerOperation::Reboot).await);
        subject.reach(&ids, PowerState::Running).await;
    }
    subject.clear("power").await;
}
