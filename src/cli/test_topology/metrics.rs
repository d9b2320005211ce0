//! Expected metrics against their text exposition.

use super::difference::Difference;
use crate::topology::scenario::Metric;

pub fn compare(wanted: &[Metric], text: &str, out: &mut Vec<Difference>) {
    let samples: Vec<Sample> = text.lines().filter_map(Sample::parse).collect();
    for metric in wanted {
        let named: Vec<&Sample> = samples.iter().filter(|sample| sample.name == metric.name).collect();
        let met: Vec<&&Sample> = named.iter().filter(|sample| sample.has(&metric.labels)).collect();
        let sum: f64 = met.iter().map(|sample| sample.value).sum();
        if met.is_empty() {
            let difference = Difference::new(metric.line, format!("{}: there is no such series", metric.series));
            out.push(named.iter().fold(difference, |all, sample| all.note(sample.shown())));
        } else if sum != metric.value {
            let message = format!("{}: it is {sum}, {} expected", metric.series, metric.value);
            let difference = Difference::new(metric.line, message);
            let parts = met.iter().filter(|sample| met.len() > 1 && sample.value != 0.0);
            out.push(parts.fold(difference, |all, sample| all.note(sample.shown())));
        }
    }
}

/// A line such as `name{label="value"} 3`.
struct Sample<'t> {
    name: &'t str,
    labels: &'t str,
    value: f64,
}

impl<'t> Sample<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Self { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    }

    fn has(&self, wanted: &[(String, String)]) -> bool {
        // Names of streams, topics and reasons need no escapes.
        let has = |name: &str, value: &str| self.labels.split(',').any(|label| label == format!("{name}=\"{value}\""));
        wanted.iter().all(|(name, value)| has(name, value))
    }

    fn shown(&self) -> String {
        let name = self.name.strip_prefix("highwater_").unwrap_or(self.name);
        match self.labels {
            "" => format!("{name} {}", self.value),
            labels => format!("{name}{{{labels}}} {}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::difference::Paint;
    use super::*;

    #[test]
    fn labels_that_are_not_named_are_summed_over() {
        let text = "# TYPE highwater_x_total counter\nhighwater_x_total{reason=\"a\",stream=\"s\"} 2\n\
                    highwater_x_total{reason=\"b\",stream=\"s\"} 3\nhighwater_x_total{reason=\"b\",stream=\"t\"} 0\n\
                    highwater_y 1.5\n";
        let said = |name: &str, labels: &[(&str, &str)], value: f64| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let metric = Metric { series: "x".into(), name: name.into(), labels, value, line: 7 };
            let mut out = Vec::new();
            compare(&[metric], text, &mut out);
            out.iter().map(|difference| difference.render("f", Paint(false))).collect::<String>()
        };
        assert_eq!(said("highwater_x_total", &[], 5.0), "");
        assert_eq!(said("highwater_x_total", &[("reason", "b")], 3.0), "");
        assert_eq!(said("highwater_x_total", &[("stream", "t")], 0.0), "");
        assert_eq!(said("highwater_y", &[], 1.5), "");
        let want = "  x: it is 5, 4 expected (f:7)\n      x_total{reason=\"a\",stream=\"s\"} 2\n      \
                    x_total{reason=\"b\",stream=\"s\"} 3\n";
        assert_eq!(said("highwater_x_total", &[], 4.0), want);
        assert!(said("highwater_x_total", &[("stream", "u")], 0.0).contains("there is no such series"));
        assert_eq!(said("highwater_y", &[], 1.0), "  x: it is 1.5, 1 expected (f:7)\n");
    }
}
