//! What `docker-compose.yml` says of the services that tests start themselves.

use super::files;

/// The command line of a service.
#[track_caller]
pub fn command(service: &str) -> Vec<String> {
    let compose = files::yaml("docker-compose.yml");
    let command = compose["services"][service]["command"].as_array();
    let words = command.unwrap_or_else(|| panic!("{service} has no command"));
    words.iter().map(|word| word.as_str().unwrap_or_else(|| panic!("{service}: {word}")).to_owned()).collect()
}

/// The worker's properties, as the image makes them of compose's environment: CONNECT_A_B becomes a.b, and a few names
/// stand without the prefix.
pub fn worker_properties() -> Vec<String> {
    let compose = files::yaml("docker-compose.yml");
    let environment = compose["services"]["connect"]["environment"].as_object().expect("an environment").clone();
    let bare = [
        "GROUP_ID",
        "CONFIG_STORAGE_TOPIC",
        "OFFSET_STORAGE_TOPIC",
        "STATUS_STORAGE_TOPIC",
        "OFFSET_FLUSH_INTERVAL_MS",
    ];
    let properties = environment.into_iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("CONNECT_").or_else(|| bare.contains(&&*name).then_some(&*name))?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{}={value}", name.to_lowercase().replace('_', ".")))
    });
    properties.collect()
}
