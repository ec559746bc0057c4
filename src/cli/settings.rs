//! Flags and variables of all settings, made from the one table that lists them.
//!
//! Clap collects texts only, as the operating system hands them over: what they mean, and what to say
//! where they mean nothing, is decided in `config`, where it is tested without a process.

use std::ffi::OsStr;

use causet::config::{Given, Kind, SETTINGS, Setting, Settings, Source};
use clap::builder::TypedValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// Takes any text and keeps the flag or variable that it came from: flag (without dashes) and variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text(pub(crate) &'static str, pub(crate) &'static str);

impl TypedValueParser for Text {
    type Value = Given;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        text: &OsStr,
    ) -> Result<Given, clap::Error> {
        self.parse_ref_(command, argument, text, ValueSource::CommandLine)
    }

    /// Bytes that are no UTF-8 become U+FFFD, which no setting takes, so they are refused by name too.
    fn parse_ref_(
        &self,
        _: &Command,
        _: Option<&Arg>,
        text: &OsStr,
        source: ValueSource,
    ) -> Result<Given, clap::Error> {
        let from = match source {
            ValueSource::EnvVariable => Source::Variable(self.1),
            _ => Source::Flag(self.0),
        };
        Ok(Given {
            flag: self.0,
            from,
            text: text.to_string_lossy().into_owned(),
        })
    }
}

/// What was given for the settings of a replica.
#[derive(Debug)]
pub(crate) struct SettingsArgs {
    /// In the order of the table.
    pub(crate) given: Vec<Given>,
}

impl SettingsArgs {
    /// What the environment alone gives, as a replica started without a flag would find it.
    pub(crate) fn from_environment() -> Self {
        let given = SETTINGS.iter().filter_map(|setting| {
            let text = std::env::var_os(setting.variable)?;
            let from = Source::Variable(setting.variable);
            Some(Given {
                flag: setting.flag,
                from,
                text: text.to_string_lossy().into_owned(),
            })
        });
        Self {
            given: given.collect(),
        }
    }

    /// `RUST_LOG`, which is shared with other programs and hence taken as it is, where no filter of our own is given.
    pub(crate) fn with_rust_log(&self, mut settings: Settings) -> Settings {
        if self.given.iter().all(|given| given.flag != "log") {
            settings.log = std::env::var("RUST_LOG").unwrap_or(settings.log);
        }
        settings
    }
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS
            .iter()
            .filter_map(|setting| matches.get_one(setting.flag));
        Ok(Self {
            given: given.cloned().collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &'static Setting) -> Arg {
    Arg::new(setting.flag)
        .long(setting.flag)
        .env(setting.variable)
        // Said below instead, on a line of its own with the default.
        .hide_env(true)
        .value_name(value_name(&setting.kind))
        // A value may begin with a dash: `-5` is then refused by name and not taken for a flag.
        .allow_hyphen_values(true)
        .value_parser(Text(setting.flag, setting.variable))
        .help(help(setting))
}

fn help(setting: &Setting) -> String {
    let unit = match &setting.kind {
        Kind::Number(number) => format!(" {}", number.unit.name()),
        _ => String::new(),
    };
    let (about, variable, default) = (setting.about, setting.variable, setting.default_text());
    format!("{about}\n[env: {variable}] [default: {default}{unit}]")
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Address => "IP:PORT",
        Kind::View => "IP:PORT,…",
        Kind::Listen => "IP",
        Kind::Log => "FILTER",
        Kind::ShardCount => "SHARDS",
        Kind::Number(_) => "NUMBER",
    }
}
