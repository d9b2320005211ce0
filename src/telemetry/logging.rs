//! Logs: to standard error, for a person or for a machine.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line an event, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line, its fields at the top level.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("unknown log format `{s}`: text or json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// Starts logging, once per process. `filter` is a level or directives like `warn,highwater::engine=debug`; info when
/// empty. The error is a sentence for the person who wrote the filter.
pub fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = parse(filter)?;
    let colour = colour(io::stderr().is_terminal(), |name| std::env::var(name).ok());
    subscriber(format, filter, colour, io::stderr).try_init().map_err(|e| format!("logging cannot start: {e}"))
}

/// Like `EnvFilter`'s own parser, which takes a mistyped level for the name of a module and then shows nothing.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    for directive in filter.split(',').map(str::trim).filter(|d| !d.is_empty() && !d.contains('=')) {
        if directive.parse::<LevelFilter>().is_err() {
            let levels = "off, error, warn, info, debug, trace";
            return Err(format!("unknown log level `{directive}`: {levels}, or directives like highwater=debug"));
        }
    }
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    builder.parse(filter).map_err(|e| format!("log level `{filter}`: {e}"))
}

/// https://no-color.org: any value but an empty one.
fn colour(terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    terminal && env("NO_COLOR").is_none_or(|v| v.is_empty()) && env("TERM").is_none_or(|t| t != "dumb")
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colour: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        // It would report a closed standard error on standard error, and panic in the middle of a commit.
        .log_internal_errors(false);
    // Both forms write their time in UTC, as RFC 3339.
    match format {
        LogFormat::Text => Box::new(builder.compact().with_target(false).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, colour: bool) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(format, parse(filter).unwrap(), colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(partition = 3, reason = "fenced", "task closed");
            tracing::info!("ready");
            tracing::debug!("hidden");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_one_plain_line_an_event() {
        let text = logged(LogFormat::Text, "", false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "UTC: {time}");
        assert_eq!(rest.trim(), "WARN task closed partition=3 reason=\"fenced\"");
        assert!(!text.contains('\x1b'));
        assert!(logged(LogFormat::Text, "", true).contains('\x1b'));
    }

    #[test]
    fn json_is_one_flat_object_an_event() {
        let text = logged(LogFormat::Json, "warn", false);
        assert_eq!(text.lines().count(), 1, "the filter holds: {text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{event}");
        for (field, expected) in [
            ("level", "WARN".into()),
            ("message", "task closed".into()),
            ("partition", 3.into()),
            ("reason", "fenced".into()),
        ] {
            let expected: serde_json::Value = expected;
            assert_eq!(event[field], expected, "{field} in {event}");
        }
    }

    #[test]
    fn filters() {
        for good in ["", "debug", "OFF", "warn,highwater::engine=debug", "highwater=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["debgu", "warn,inof", "highwater=loud"] {
            let error = parse(bad).err().unwrap_or_else(|| panic!("{bad} was accepted"));
            assert!(error.contains("log level"), "{error}");
        }
        let events = |filter| logged(LogFormat::Text, filter, false).lines().count();
        let module = format!("error,{}=debug", module_path!());
        assert_eq!((events("off"), events("error"), events("debug"), events(&module)), (0, 0, 3, 3));
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let table = [
            (true, None, true),
            (true, Some(("NO_COLOR", "")), true),
            (true, Some(("NO_COLOR", "1")), false),
            (true, Some(("TERM", "dumb")), false),
            (false, None, false),
        ];
        for (terminal, set, expected) in table {
            let env = |name: &str| set.filter(|(n, _)| *n == name).map(|(_, value)| value.to_owned());
            assert_eq!(colour(terminal, env), expected, "{terminal} {set:?}");
        }
    }

    #[test]
    fn formats_are_read_as_they_are_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xml".parse::<LogFormat>().unwrap_err().contains("text or json"));
    }
}
