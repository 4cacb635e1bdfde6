//! The `sipsimple` program: how people meet the library and how scripts drive it.

mod agent;
mod arguments;
mod call;
mod demo;
mod identity;
mod inspect;
mod listen;
mod message;
mod output;
mod publish;
mod register;
mod settings;
mod subscribe;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

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
    let arguments = match settings::command_line(std::env::args_os().collect()) {
        Ok(arguments) => Arguments::parse_from(arguments),
        Err(error) => {
            eprintln!("sipsimple: {error}");
            output::Output::new(std::env::args().any(|argument| argument == "--json")).exit(1);
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let json = match &arguments.command {
        Command::Demo(demo) => demo.json,
        Command::Listen(listen) => listen.common.json,
        Command::Call(call) => call.common.json,
        Command::Message(message) => message.common.json,
        Command::Register(register) => register.common.json,
        Command::Subscribe(subscribe) => subscribe.common.json,
        Command::Publish(publish) => publish.common.json,
        Command::Settings(settings) => settings.json,
        Command::Inspect(inspect) => return inspect::run(inspect),
    };
    let output = std::sync::Arc::new(output::Output::new(json));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sipsimple: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Demo(demo) => demo::run(demo, &output).await,
            Command::Listen(listen) => listen::run(listen, &output).await,
            Command::Call(call) => call::run(call, &output).await,
            Command::Message(message) => message::run(message, &output).await,
            Command::Register(register) => register::run(register, &output).await,
            Command::Subscribe(subscribe) => subscribe::run(subscribe, &output).await,
            Command::Publish(publish) => publish::run(publish, &output).await,
            Command::Settings(settings) => settings::run(settings, &output),
            Command::Inspect(_) => Ok(()),
        }
    });
    let code = match result {
        Ok(()) => 0,
        Err(Failure::Failed(reason)) => {
            eprintln!("sipsimple: {reason}");
            1
        }
        Err(Failure::Usage(reason)) => {
            eprintln!("sipsimple: {reason}\n\nFor more information, try '--help'.");
            2
        }
    };
    output.exit(code);
    ExitCode::from(code)
}
