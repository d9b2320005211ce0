//! `docker-compose.yml`. No Docker runs the tests: what it says is checked against its schema, the files it names, and
//! the commands by which the tests start the same services themselves.

use crate::files;

/// The command line of a service.
#[track_caller]
pub fn command(service: &str) -> Vec<String> {
    let compose = files::yaml("docker-compose.yml");
    let command = compose["services"][service]["command"].as_array();
    let words = command.unwrap_or_else(|| panic!("{service} has no command"));
    words.iter().map(|word| word.as_str().unwrap_or_else(|| panic!("{service}: {word}")).to_owned()).collect()
}
