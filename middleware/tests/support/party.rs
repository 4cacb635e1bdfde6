//! An application on the loopback interface, and what it tells.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, SessionEvent};
use sipsimple::{Application, Builder, Credentials, Session, Uri};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) application: Application,
    pub(crate) notifications: NotificationStream,
}

impl Party {
    pub(crate) async fn start(name: &'static str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 1_000);
        let builder =
            Application::builder().bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).port(0).notification_center(center);
        let application = change(builder).start().await.expect("sockets on the loopback interface");
        Self { name, application, notifications }
    }

    pub(crate) fn uri(&self) -> Uri {
        let address = self.application.addresses()[0].1;
        format!("sip:{}@{address}", self.name).parse().expect("a URI")
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.uri()).with_password("hunter2")
    }

    /// The session that tells this; a failure meanwhile is one of the test.
    pub(crate) async fn wait_for(&mut self, name: &str) -> Session {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let (Some(session), Some(event)) = (notification.session(), notification.session_event()) {
                    if event.name() == name {
                        return session.clone();
                    }
                    assert!(!matches!(event, SessionEvent::DidFail { .. }), "{}: {event:?}", self.name);
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{}: no {name}", self.name))
    }
}
