//! The manual page and the shells' completions, from the definitions that `--help` is made of.

use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::Failure;
use crate::arguments::{Arguments, Completions, Manual};

/// `sipsimple completions SHELL`
pub(crate) fn completions(options: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "sipsimple", &mut script);
    print(&script)
}

/// `sipsimple man [COMMAND]`
pub(crate) fn manual(options: &Manual) -> Result<(), Failure> {
    if let Some(folder) = &options.out {
        return write_all(folder);
    }
    let wanted = options.command.as_deref();
    let pages = pages();
    let page = pages.iter().find(|page| match wanted {
        None => page.get_name() == "sipsimple",
        Some(wanted) => page.get_name() == format!("sipsimple-{wanted}"),
    });
    match page {
        Some(page) => print(&render(page)?),
        None => Err(Failure::Usage(format!("there is no command {:?}", wanted.unwrap_or_default()))),
    }
}

fn write_all(folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    for page in pages() {
        let text = render(&page)?;
        std::fs::write(folder.join(format!("{}.1", page.get_name())), text).map_err(failed)?;
    }
    Ok(())
}

/// The program and each of its commands, with names as pages have them.
fn pages() -> Vec<Command> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = commands.map(|command| {
        let name = format!("sipsimple-{}", command.get_name());
        // Clap wants names that live as long as the program; there are a dozen of them.
        let (name, shown) = (name.clone().leak(), name.replacen('-', " ", 1));
        command.clone().name(&*name).bin_name(shown)
    });
    let mut pages: Vec<Command> = pages.collect();
    pages.insert(0, program.clone());
    pages
}

fn render(page: &Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let rendered = Man::new(page.clone()).render(&mut text);
    rendered.map_err(|error| Failure::Failed(format!("the manual: {error}")))?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    // A reader that has seen enough, as `head`, is no failure.
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    #[test]
    fn every_command_has_a_page_with_its_options_and_examples() {
        let pages = pages();
        assert!(pages.len() > 10);
        for page in &pages {
            let text = String::from_utf8(render(page).expect("it renders")).expect("UTF-8");
            assert!(text.contains(".SH SYNOPSIS"), "{}", page.get_name());
            for option in page.get_arguments().filter_map(|option| option.get_long()) {
                // Hyphens are escaped in manual pages.
                let shown = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(text.contains(&shown), "{}: {shown}", page.get_name());
            }
            if let Some(examples) = page.get_after_help() {
                let first = examples.to_string().lines().nth(1).unwrap_or_default().trim().to_owned();
                let words = first.split(' ').take(2).collect::<Vec<_>>().join(" ");
                assert!(text.contains(&words), "{}: {words}", page.get_name());
            }
        }
        let listen = pages.iter().find(|page| page.get_name() == "sipsimple-listen").expect("there is one");
        let text = String::from_utf8(render(listen).expect("it renders")).expect("UTF-8");
        assert!(text.contains("sipsimple listen"), "the synopsis has the command as it is typed");
    }

    #[test]
    fn completions_know_every_command_and_option() {
        let program = Arguments::command();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sipsimple", &mut script);
            let script = String::from_utf8(script).expect("UTF-8");
            for command in program.get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
                for option in command.get_arguments().filter_map(|option| option.get_long()) {
                    assert!(script.contains(option), "{shell}: {option}");
                }
            }
        }
    }
}
