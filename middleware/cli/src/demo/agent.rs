//! One of the two agents of the demo.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput, RtpConfiguration};
use sipsimple::notification::{
    Event, Filter, MsrpFileTransferEvent, Notification, NotificationCenter, NotificationStream,
    RegistrationEvent, SessionEvent, Subscription,
};
use sipsimple::trace::Tracer;
use sipsimple::{Application, Credentials, RegistrationOptions, Session, StreamSet, Uri};

use super::registrar::DOMAIN;
use super::stun::RunningStun;
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
    /// Starts it where the servers are; `speech` is what it says, over and over.
    pub(super) async fn start(
        name: &'static str,
        speech: &Path,
        stun: &RunningStun,
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
        let rtp = RtpConfiguration {
            use_srtp: true,
            srtp_forced: true,
            use_ice: true,
            ice_stun_address: Some(stun.address().ip().to_string()),
            ice_stun_port: stun.address().port(),
            ice_turn: Some(stun.relay()),
            ..RtpConfiguration::default()
        };
        let input = AudioInput::File { path: speech.to_owned(), repeat: true };
        let mut builder = Application::builder()
            .accepts(StreamSet::ALL)
            .bind(stun.address().ip())
            .port(0)
            .rtp_config(rtp)
            .audio(AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() })
            .notification_center(center);
        if let Some(tracer) = tracer {
            builder = builder.tracer(Arc::new(tracer));
        }
        let application = builder.start().await?;
        Ok(Self { name, application, notifications, _printing: printing })
    }

    /// Its address of record, and what proves it.
    pub(super) fn credentials(&self) -> Credentials {
        let user = self.name.to_lowercase();
        let uri = format!("sip:{user}@{DOMAIN}").parse().expect("a user and a domain make a URI");
        Credentials::new(uri).with_password(password(&user))
    }

    /// Registers it, and waits until the registrar has taken it.
    pub(super) async fn register(&mut self, registrar: &Uri) -> Result<(), Failure> {
        self.application.register(RegistrationOptions {
            registrar: Some(registrar.clone()),
            ..RegistrationOptions::new(self.credentials())
        });
        let waiting = async {
            while let Some(notification) = self.notifications.next().await {
                match notification.event() {
                    Event::Registration(RegistrationEvent::DidSucceed { .. }) => return Ok(()),
                    Event::Registration(RegistrationEvent::DidFail { code, reason, .. }) => {
                        return Err(Failure::Failed(format!("registering {}: {code} {reason}", self.name)));
                    }
                    _ => {}
                }
            }
            Err(Failure::Failed("registering: the application stopped".to_owned()))
        };
        let late = |_| Failure::Failed(format!("registering: nothing within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, waiting).await.map_err(late)?
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

    /// Waits for a notification about a file by its bus name; others are passed over.
    pub(super) async fn wait_for_file(
        &mut self,
        name: &'static str,
    ) -> Result<MsrpFileTransferEvent, Failure> {
        let waiting = async {
            while let Some(notification) = self.notifications.next().await {
                match notification.file_event() {
                    Some(event) if event.name() == name => return Ok(event.clone()),
                    _ => {}
                }
            }
            Err(Failure::Failed(format!("{name}: the application stopped")))
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| Err(Failure::Failed(format!("{}: no {name} in time", self.name))))
    }

    /// Waits for a notification by its bus name.
    pub(super) async fn wait_for_name(&mut self, name: &'static str) -> Result<Session, Failure> {
        let (session, _) = self.wait_for(name, |event| event.name() == name).await?;
        Ok(session)
    }
}

/// A user's password in the demo.
pub(super) fn password(user: &str) -> String {
    format!("{user}'s secret")
}
