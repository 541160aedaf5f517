//! The command's wording of what the library says without knowing the command: hints and messages
//! name the options here.

mod hints;
mod options;
mod reasons;
mod registry;
#[cfg(test)]
mod tests;

use ocify::{Code, Error, Hint, Remedy, Rule, Wording};

use self::hints::{hint_of_fix, own_hint};
use self::options::is_of_fix;
use self::reasons::reason_of_fix;
use crate::args::CommandName;

/// The name of standard input in messages.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// The wording of one of the commands, which differ in their options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    command: CommandName,
}

impl Words {
    pub(crate) const FIX: Words = Words::of(CommandName::Fix);
    pub(crate) const MERGE: Words = Words::of(CommandName::Merge);
    pub(crate) const SPLIT: Words = Words::of(CommandName::Split);
    pub(crate) const PUSH: Words = Words::of(CommandName::Push);
    pub(crate) const CHECK: Words = Words::of(CommandName::Check);
    pub(crate) const INSPECT: Words = Words::of(CommandName::Inspect);

    /// The wording of this command.
    pub(crate) const fn of(command: CommandName) -> Self {
        Words { command }
    }
}

impl Wording for Words {
    fn hint(&self, hint: &Hint) -> String {
        if let Some(own) = own_hint(self.command, hint) {
            return own;
        }
        let text = hint_of_fix(hint);
        match is_of_fix(hint, self.command) {
            true => format!("with ocify fix: {text}"),
            false => text,
        }
    }

    fn remedy(&self, remedy: &Remedy) -> Vec<String> {
        let images = remedy.images.iter().map(ToString::to_string);
        let images = images.map(|image| ["--image".to_owned(), image]);
        let name = ["--name".to_owned(), "NAME".to_owned()];
        let name = remedy.needs_name.then_some(name);
        let engines = remedy.engines.iter().map(ToString::to_string);
        let engines = engines.map(|engine| ["--for".to_owned(), engine]);
        images.chain(name).chain(engines).flatten().collect()
    }

    fn reason(&self, rule: Rule) -> &'static str {
        match (self.command, rule) {
            (CommandName::Split, Rule::ImageChoice) => {
                "another image was chosen with --image or --by platform"
            }
            (CommandName::Split, Rule::PlatformChoice) => {
                "other platforms were chosen with --platform or --by platform"
            }
            _ => reason_of_fix(rule),
        }
    }

    fn full_report(&self) -> Option<&'static str> {
        Some("-v shows each")
    }

    fn error(&self, error: &Error) -> String {
        match (error.code(), error.expected(), error.found()) {
            (Code::SeveralImages, ..) if error.hint() == Some(&Hint::ChooseImage) => {
                let message = error.message_with_causes();
                match message.strip_prefix("a name ") {
                    Some(rest) => format!("--name {rest}"),
                    None => message,
                }
            }
            (Code::ImageNotFound, None, None) => {
                "the archive does not contain an image or artifact for --name".to_owned()
            }
            _ => error.message_with_causes(),
        }
    }
}
