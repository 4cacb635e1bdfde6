//! The `sipsimple` program: how people meet the library and how scripts drive it.

mod agent;
mod arguments;
mod call;
mod demo;
mod doctor;
mod identity;
mod inspect;
mod keep;
mod leave;
mod listen;
mod live;
mod manual;
mod memory;
mod message;
mod output;
mod publish;
mod register;
mod settings;
mod subscribe;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::leave::Leave;
use crate::output::Output;

/// What stops a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense: exit 2.
    Usage(String),
    /// What was asked for did not work: exit 1.
    Failed(String),
}

impl From<sipsimple::Error> for Failure {
    fn from(error: sipsimple::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<sipsimple::settings::SettingsError> for Failure {
    fn from(error: sipsimple::settings::SettingsError) -> Self {
        Failure::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    memory::give_back();
    let arguments = match settings::command_line(std::env::args_os().collect()) {
        Ok(arguments) => Arguments::try_parse_from(arguments),
        Err(error) => return end(&Output::new(wants_json()), Err(error.into())),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        // Help and the version are no errors.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let _ = error.print();
            Output::new(wants_json()).exit(USAGE, Some("the command line makes no sense"));
            return ExitCode::from(USAGE);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match &arguments.command {
        Command::Inspect(inspect) => return inspect::run(inspect),
        Command::Completions(options) => return end(&Output::new(false), manual::completions(options)),
        Command::Man(options) => return end(&Output::new(false), manual::manual(options)),
        _ => {}
    }
    let output = std::sync::Arc::new(Output::new(has_json(&arguments.command)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let reason = format!("the runtime cannot start: {error}");
            return end(&output, Err(Failure::Failed(reason)));
        }
    };
    // On a worker, beside what it works with: the main thread would have to be woken for each notification.
    let shown = output.clone();
    let running = runtime.spawn(async move {
        let (output, leave) = (shown, Leave::install());
        match arguments.command {
            Command::Demo(demo) => demo::run(demo, &output).await,
            Command::Listen(listen) => listen::run(listen, &output, &leave).await,
            Command::Call(call) => call::run(call, &output, &leave).await,
            Command::Message(message) => message::run(message, &output, &leave).await,
            Command::Register(register) => register::run(register, &output, &leave).await,
            Command::Subscribe(subscribe) => subscribe::run(subscribe, &output, &leave).await,
            Command::Publish(publish) => publish::run(publish, &output, &leave).await,
            Command::Settings(settings) => settings::run(settings, &output),
            Command::Doctor(doctor) => doctor::run(doctor, &output, &leave).await,
            Command::Inspect(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
        }
    });
    let result = runtime.block_on(running).unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Err(Failure::Failed(error.to_string())),
    });
    // What still waits for a disk or a name server is not waited for.
    runtime.shutdown_background();
    end(&output, result)
}

/// The exit code of the command line that makes no sense.
const USAGE: u8 = 2;

/// Tells how it went, to people and to programs.
fn end(output: &Output, result: Result<(), Failure>) -> ExitCode {
    let (code, reason, hint) = match result {
        Ok(()) => (0, None, ""),
        Err(Failure::Failed(reason)) => (1, Some(reason), ""),
        Err(Failure::Usage(reason)) => (USAGE, Some(reason), "\n\nFor more information, try '--help'."),
    };
    if let Some(reason) = &reason {
        eprintln!("sipsimple: {}{hint}", output::printable(reason));
    }
    output.exit(code, reason.as_deref());
    ExitCode::from(code)
}

/// Whether programs read the output, where the command line could not be.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

fn has_json(command: &Command) -> bool {
    match command {
        Command::Demo(demo) => demo.json,
        Command::Listen(listen) => listen.common.json,
        Command::Call(call) => call.common.json,
        Command::Message(message) => message.common.json,
        Command::Register(register) => register.common.json,
        Command::Subscribe(subscribe) => subscribe.common.json,
        Command::Publish(publish) => publish.common.json,
        Command::Settings(settings) => settings.json,
        Command::Doctor(doctor) => doctor.common.json,
        Command::Inspect(_) | Command::Completions(_) | Command::Man(_) => false,
    }
}
