//! Any texts are settings or refused in one line that names the setting; names have one spelling.
//!
//! Each line is `flag=text`, of which the first for a flag counts, or a name.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use causet::config::{Given, Kind, SETTINGS, Settings, SettingsError, Source};
use causet::core::id::{Address, Domain, Incarnation, MapId, Origin, ShardId};
use libfuzzer_sys::fuzz_target;

fn is_strict<T: FromStr + Display>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        assert_eq!(name.to_string(), text);
    }
}

fn check_names(text: &str) {
    is_strict::<Incarnation>(text);
    is_strict::<Origin>(text);
    is_strict::<MapId>(text);
    is_strict::<ShardId>(text);
    is_strict::<Domain>(text);
    if let Ok(address) = text.parse::<Address>() {
        check_address(address);
    }
}

fn check_address(address: Address) {
    assert_eq!(address.to_string().parse(), Ok(address));
    assert_ne!(address.port(), 0);
    let ip = address.socket().ip();
    assert!(!ip.is_unspecified() && !ip.is_multicast());
}

fn given(line: &str) -> Option<Given> {
    let (flag, text) = line.split_once('=')?;
    let (variable, flag) = match flag.strip_prefix('$') {
        Some(flag) => (true, flag),
        None => (false, flag),
    };
    let setting = SETTINGS.iter().find(|setting| setting.flag == flag)?;
    let from = if variable {
        Source::Variable(setting.variable)
    } else {
        Source::Flag(setting.flag)
    };
    Some(Given {
        flag: setting.flag,
        from,
        text: text.to_owned(),
    })
}

fn check_settings(settings: &Settings) {
    let view = &settings.view;
    assert!(view.contains(&settings.address));
    assert!(view.is_sorted_by(|a, b| a < b), "sorted, without doubles");
    view.iter().copied().for_each(check_address);
    assert!(view.len() <= settings.membership.members_max);
    for setting in SETTINGS {
        if let Kind::Number(number) = &setting.kind {
            assert!(number.range.contains(&number.get(settings)));
        }
    }
    // What is taken for a filter must be one for the logger too.
    let filter = env_filter::Builder::new()
        .try_parse(&settings.log)
        .map(drop);
    assert!(filter.is_ok(), "{:?}", settings.log);
}

fn check_error<E: Debug + Display>(error: &E, given: &[Given]) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "one line: {text:?}");
    assert!(text.len() < 1_500, "short: {text}");
    let named = given
        .iter()
        .any(|given| text.contains(&given.from.to_string()));
    assert!(
        named || text.contains("SOCKET_ADDRESS"),
        "names what is wrong: {text}"
    );
}

fuzz_target!(|text: &str| {
    let mut all: Vec<Given> = Vec::new();
    for line in text.lines() {
        check_names(line);
        all.extend(given(line).filter(|new| all.iter().all(|old| old.flag != new.flag)));
    }
    let result: Result<Settings, SettingsError> = Settings::validated(&all);
    match result {
        Ok(settings) => check_settings(&settings),
        Err(error) => check_error(&error, &all),
    }
});
