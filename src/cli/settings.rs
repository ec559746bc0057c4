//! Flags and variables of all settings, made from the one table that lists them.
//!
//! Clap collects texts only, as the operating system hands them over: what they mean, and what to say
//! where they mean nothing, is decided in `config`, where it is tested without a process.

use std::ffi::OsString;

use causet::config::{Given, Kind, SETTINGS, Setting, Settings, Source};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// What was given for the settings of a replica.
#[derive(Debug)]
pub(crate) struct SettingsArgs {
    /// In the order of the table.
    pub(crate) given: Vec<Given>,
}

impl SettingsArgs {
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
            .filter_map(|setting| given(setting, matches));
        Ok(Self {
            given: given.collect(),
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
        .hide_env_values(true)
        .value_name(value_name(&setting.kind))
        // A value may begin with a dash: `-5` is then refused by name and not taken for a flag.
        .allow_hyphen_values(true)
        .value_parser(value_parser!(OsString))
        .help(format!(
            "{} [default: {}]",
            setting.about,
            setting.default_text()
        ))
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Address => "IP:PORT",
        Kind::View => "IP:PORT,…",
        Kind::Listen => "IP",
        Kind::Log => "FILTER",
        Kind::ShardCount => "SHARDS",
        Kind::Number(number) => number.unit.name(),
    }
}

/// Bytes that are no UTF-8 become U+FFFD, which no setting takes, so they are refused by name too.
fn given(setting: &Setting, matches: &ArgMatches) -> Option<Given> {
    let text = matches.get_one::<OsString>(setting.flag)?;
    let from = match matches.value_source(setting.flag)? {
        ValueSource::EnvVariable => Source::Variable(setting.variable),
        _ => Source::Flag(setting.flag),
    };
    Some(Given {
        flag: setting.flag,
        from,
        text: text.to_string_lossy().into_owned(),
    })
}
