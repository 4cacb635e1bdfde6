//! One of the two agents of the demo.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput, RtpConfiguration};
use sipsimple::notification::{
    Filter, Notification, NotificationCenter, NotificationStream, SessionEvent, Subscription,
};
use sipsimple::trace::Tracer;
use sipsimple::{Application, Session, Uri};

use crate::Failure;
use crate::output::Output;

/// No step of the demo takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct DemoAgent {
    pub(super) name: &'static str,
    pub(super) application: Application,
    notifications: NotificationStream,
    _printing: Subscription,
}

impl DemoAgent {
    /// Starts it on the loopback interface; `speech` is what it says, over and over.
    pub(super) async fn start(
        name: &'static str,
        speech: &Path,
        tracer: Option<Tracer>,
        output: &Arc<Output>,
        listener: impl Fn(&Notification) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let center = NotificationCenter::new();
        let printer = output.clone();
        let printing = center.observe(Filter::any(), move |notification| {
            printer.labelled(Some(name), notification);
            listener(notification);
        });
        let notifications = center.stream(Filter::any(), 4_096);
        let rtp = RtpConfiguration { use_srtp: true, srtp_forced: true, ..RtpConfiguration::default() };
        let input = AudioInput::File { path: speech.to_owned(), repeat: true };
        let mut builder = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .rtp_config(rtp)
            .audio(AudioConfiguration { input, output: AudioOutput::Null, echo: false })
            .notification_center(center);
        if let Some(tracer) = tracer {
            builder = builder.tracer(Arc::new(tracer));
        }
        let application = builder.start().await?;
        Ok(Self { name, application, notifications, _printing: printing })
    }

    /// Where it can be called.
    pub(super) fn uri(&self) -> Uri {
        let address = self.application.addresses().first().map(|(_, address)| *address);
        let address = address.expect("a started application listens somewhere");
        let user = self.name.to_lowercase();
        format!("sip:{user}@{address}").parse().expect("a user and an address make a URI")
    }

    /// Waits for a notification; others are passed over.
    pub(super) async fn wait_for(
        &mut self,
        what: &str,
        mut matches: impl FnMut(&SessionEvent) -> bool,
    ) -> Result<(Session, SessionEvent), Failure> {
        let waiting = async {
            while let Some(notification) = self.notifications.next().await {
                let (Some(session), Some(event)) = (notification.session(), notification.session_event())
                else {
                    continue;
                };
                if matches(event) {
                    return Ok((session.clone(), event.clone()));
                }
                if let SessionEvent::DidFail { code, reason, .. } = event {
                    return Err(Failure::Failed(format!("{what}: the session failed: {code} {reason}")));
                }
            }
            Err(Failure::Failed(format!("{what}: the application stopped")))
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Failure::Failed(format!("{}: no {what} within {seconds} s", self.name)))
            }
        }
    }

    /// Waits for a notification by its bus name.
    pub(super) async fn wait_for_name(&mut self, name: &'static str) -> Result<Session, Failure> {
        let (session, _) = self.wait_for(name, |event| event.name() == name).await?;
        Ok(session)
    }
}
