//! The `index.yaml` of a classic chart repository, read event by event as it
//! arrives: of a file of many megabytes only the charts' names and versions
//! are kept.

use std::collections::HashMap;

use saphyr_parser::{BufferedInput, Event, Parser, ScalarStyle};

/// The longest name or version that is kept, bytes. Longer ones are no
/// versions that anybody could subscribe to.
const LONGEST: usize = 256;
/// Charts of one repository, and versions of all its charts.
const MOST_CHARTS: usize = 100_000;
const MOST_VERSIONS: usize = 2_000_000;
/// How deep values may lie in one another.
const DEPTH: usize = 64;

/// What a repository offers: the versions of each chart, in the order of the
/// file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    charts: HashMap<Box<str>, Vec<Box<str>>>,
    /// Roughly what it takes in memory, bytes.
    size: usize,
}

impl Index {
    /// The versions of a chart; none where the repository does not have it.
    pub(super) fn versions(&self, chart: &str) -> &[Box<str>] {
        self.charts.get(chart).map_or(&[], Vec::as_slice)
    }

    /// Roughly what it takes in memory, bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(text: impl Iterator<Item = char> + 'static) -> Result<Self, String> {
        let mut reader = Reader { parser: Parser::new_from_iter(text), index: Self::default() };
        reader.document()?;
        Ok(reader.index)
    }
}

struct Reader<T: Iterator<Item = char> + 'static> {
    parser: Parser<'static, BufferedInput<T>>,
    index: Index,
}

/// What stands where a value is expected, as far as it matters here.
enum Value {
    Scalar(String),
    /// Nothing, `null` or `~`.
    Null,
    Sequence,
    Mapping,
}

impl<T: Iterator<Item = char> + 'static> Reader<T> {
    fn next(&mut self) -> Result<Event<'static>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("yaml: {error}")),
            None => Ok(Event::StreamEnd),
        }
    }

    /// The first document; what comes after it does not count.
    fn document(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                Event::StreamStart | Event::Nothing => {}
                Event::DocumentStart(_) => break,
                _ => return Ok(()),
            }
        }
        match self.value()? {
            Value::Null => Ok(()),
            Value::Mapping => self.root(),
            Value::Scalar(text) => Err(format!(
                "the document is no mapping but text that begins with {:?}",
                shown(&text)
            )),
            Value::Sequence => Err("the document is a list and no mapping".to_owned()),
        }
    }

    fn root(&mut self) -> Result<(), String> {
        let mut seen = false;
        while let Some(key) = self.key()? {
            if key != "entries" {
                self.skip()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                return Err("\"entries\" stands there twice".to_owned());
            }
            match self.value()? {
                Value::Null => {}
                Value::Mapping => self.entries()?,
                Value::Scalar(_) | Value::Sequence => {
                    return Err("\"entries\" is no mapping of charts".to_owned());
                }
            }
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<(), String> {
        while let Some(chart) = self.key()? {
            if self.index.charts.len() >= MOST_CHARTS {
                return Err(format!("it has more than {MOST_CHARTS} charts"));
            }
            let mut versions = Vec::new();
            match self.value()? {
                Value::Null => {}
                Value::Sequence => self.versions(&chart, &mut versions)?,
                Value::Scalar(_) | Value::Mapping => {
                    return Err(format!("the chart {:?} has no list of versions", shown(&chart)));
                }
            }
            if chart.len() > LONGEST {
                continue;
            }
            self.index.size += chart.len() + 64;
            if self.index.charts.insert(chart.as_str().into(), versions).is_some() {
                return Err(format!("the chart {chart:?} stands there twice"));
            }
        }
        Ok(())
    }

    fn versions(&mut self, chart: &str, versions: &mut Vec<Box<str>>) -> Result<(), String> {
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(()),
                Event::MappingStart(..) => {}
                Event::Scalar(text, style, ..) if is_null(&text, style) => continue,
                _ => {
                    return Err(format!("a version of the chart {:?} is no mapping", shown(chart)));
                }
            }
            while let Some(key) = self.key()? {
                if key != "version" {
                    self.skip()?;
                    continue;
                }
                match self.value()? {
                    Value::Null => {}
                    Value::Scalar(text) if text.len() > LONGEST => {}
                    Value::Scalar(text) => {
                        self.index.size += text.len() + 24;
                        if self.index.size > MOST_VERSIONS * 32 {
                            return Err(format!("it has more than {MOST_VERSIONS} versions"));
                        }
                        versions.push(text.into());
                    }
                    Value::Sequence | Value::Mapping => {
                        return Err(format!(
                            "a version of the chart {:?} is no text",
                            shown(chart)
                        ));
                    }
                }
            }
        }
    }

    /// The next key of the mapping that was entered; none at its end.
    fn key(&mut self) -> Result<Option<String>, String> {
        match self.next()? {
            Event::MappingEnd => Ok(None),
            Event::Scalar(text, ..) => Ok(Some(text.into_owned())),
            Event::StreamEnd => Err("it ends in the middle".to_owned()),
            _ => Err("a key is no text".to_owned()),
        }
    }

    /// Enters a value. Of a sequence or mapping the content comes next.
    fn value(&mut self) -> Result<Value, String> {
        match self.next()? {
            Event::Scalar(text, style, ..) if is_null(&text, style) => Ok(Value::Null),
            Event::Scalar(text, ..) => Ok(Value::Scalar(text.into_owned())),
            Event::SequenceStart(..) => Ok(Value::Sequence),
            Event::MappingStart(..) => Ok(Value::Mapping),
            Event::DocumentEnd => Ok(Value::Null),
            Event::Alias(_) => Err("aliases are not supported in an index".to_owned()),
            _ => Err("it ends in the middle".to_owned()),
        }
    }

    /// Passes over a value.
    fn skip(&mut self) -> Result<(), String> {
        let mut depth = 0usize;
        loop {
            match self.next()? {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                Event::Scalar(..) | Event::Alias(_) | Event::Nothing => {}
                _ => return Err("it ends in the middle".to_owned()),
            }
            if depth > DEPTH {
                return Err(format!("values lie more than {DEPTH} deep in one another"));
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let index = Index::read(text.chars().collect::<Vec<_>>().into_iter())?;
        Ok(index.versions("app").iter().map(|v| v.to_string()).collect())
    }

    #[test]
    fn an_index_is_read_for_its_versions() {
        for (text, expected) in [
            (
                "apiVersion: v1\nentries:\n  app:\n  - version: 1.0.0\n    urls: [a, {b: [c]}]\n  - name: app\n    version: \"v2\"\n  other:\n  - version: 9.9.9\ngenerated: now\n",
                &["1.0.0", "v2"][..],
            ),
            // A version that is a number counts by its text; an entry without
            // one is skipped (`warehouses` 7 H5).
            ("entries:\n  app:\n  - version: 1.0\n  - name: app\n  - version: ~\n", &["1.0"]),
            ("", &[]),
            ("# nothing\n", &[]),
            ("---\n", &[]),
            ("{}", &[]),
            ("entries:\n", &[]),
            ("entries: {}", &[]),
            ("entries: {app: }", &[]),
            ("{\"entries\": {\"app\": [{\"version\": \"1.2.3\"}]}}", &["1.2.3"]),
            // The first document counts.
            ("entries: {app: [{version: 1.0.0}]}\n---\nentries: 7\n", &["1.0.0"]),
            ("a: &x [1]\nb: *x\nentries: {app: [{version: 1.0.0}]}\n", &["1.0.0"]),
        ] {
            assert_eq!(
                read(text).as_deref(),
                Ok(expected.iter().map(|s| s.to_string()).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_index() {
        let deep = format!("a: {}", "[".repeat(100));
        for (text, expected) in [
            ("<html>not found</html>", "the document is no mapping but text that begins with"),
            ("[]", "the document is a list"),
            ("entries: 7", "\"entries\" is no mapping"),
            ("entries: []", "\"entries\" is no mapping"),
            ("entries: {app: {version: 1}}", "the chart \"app\" has no list"),
            ("entries: {app: [1.0.0]}", "a version of the chart \"app\" is no mapping"),
            ("entries: {app: [{version: [1]}]}", "a version of the chart \"app\" is no text"),
            ("entries: {}\nentries: {}", "\"entries\" stands there twice"),
            ("entries: {app: [], app: []}", "the chart \"app\" stands there twice"),
            ("entries: *a", "yaml: "),
            ("entries: {app: [{version: 1.0.0", "yaml: "),
            ("\tentries:\n\t- x", "yaml: "),
            (&deep, "values lie more than 64 deep"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
