//! Go's time layouts, cut into parts: `2006-01-02 15:04:05`.

/// A part of a layout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Year4,
    Year2,
    MonthName,
    MonthShort,
    Month { wide: bool },
    WeekdayName,
    WeekdayShort,
    Day,
    DaySpace,
    DayZero,
    YearDaySpace,
    YearDayZero,
    Hour24,
    Hour12 { wide: bool },
    Minute { wide: bool },
    Second { wide: bool },
    Half { upper: bool },
    Fraction { separator: char, digits: usize, trimmed: bool },
    Zone { z: bool, colon: bool, minutes: bool, seconds: bool },
    ZoneName,
}

impl Part<'_> {
    /// The part as a layout has it, for messages.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Fraction { separator, digits, trimmed } => {
                let digit = if *trimmed { "9" } else { "0" };
                format!("{separator}{}", digit.repeat(*digits))
            }
            other => TOKENS
                .iter()
                .find(|(_, part)| part == other)
                .map_or(String::new(), |(text, _)| (*text).to_owned()),
        }
    }
}

const fn zone(z: bool, colon: bool, minutes: bool, seconds: bool) -> Part<'static> {
    Part::Zone { z, colon, minutes, seconds }
}

/// Longer ones before those that begin like them.
static TOKENS: [(&str, Part<'static>); 33] = [
    ("January", Part::MonthName),
    ("Jan", Part::MonthShort),
    ("Monday", Part::WeekdayName),
    ("Mon", Part::WeekdayShort),
    ("MST", Part::ZoneName),
    ("2006", Part::Year4),
    ("__2", Part::YearDaySpace),
    ("_2", Part::DaySpace),
    ("002", Part::YearDayZero),
    ("01", Part::Month { wide: true }),
    ("02", Part::DayZero),
    ("03", Part::Hour12 { wide: true }),
    ("04", Part::Minute { wide: true }),
    ("05", Part::Second { wide: true }),
    ("06", Part::Year2),
    ("15", Part::Hour24),
    ("PM", Part::Half { upper: true }),
    ("pm", Part::Half { upper: false }),
    ("-07:00:00", zone(false, true, true, true)),
    ("-07:00", zone(false, true, true, false)),
    ("-070000", zone(false, false, true, true)),
    ("-0700", zone(false, false, true, false)),
    ("-07", zone(false, false, false, false)),
    ("Z07:00:00", zone(true, true, true, true)),
    ("Z07:00", zone(true, true, true, false)),
    ("Z070000", zone(true, false, true, true)),
    ("Z0700", zone(true, false, true, false)),
    ("Z07", zone(true, false, false, false)),
    ("1", Part::Month { wide: false }),
    ("2", Part::Day),
    ("3", Part::Hour12 { wide: false }),
    ("4", Part::Minute { wide: false }),
    ("5", Part::Second { wide: false }),
];

/// The parts of a layout.
pub(crate) fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut text_start = 0;
    let mut at = 0;
    while at < layout.len() {
        let rest = layout.get(at..).unwrap_or("");
        let found = token(rest);
        match found {
            Some((len, part)) => {
                if text_start < at {
                    out.push(Part::Text(layout.get(text_start..at).unwrap_or("")));
                }
                out.push(part);
                at += len;
                text_start = at;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    if text_start < layout.len() {
        out.push(Part::Text(layout.get(text_start..).unwrap_or("")));
    }
    out
}

fn token(rest: &str) -> Option<(usize, Part<'static>)> {
    // `_2006` is text and a year, not a padded day.
    if rest.starts_with("_2006") {
        return None;
    }
    // Not the beginning of a word: `Janet`, `Monk`.
    let word = |len: usize| rest.get(len..)?.chars().next().filter(char::is_ascii_lowercase);
    if let Some((text, part)) = TOKENS.iter().find(|(text, _)| rest.starts_with(text)) {
        let is_short = matches!(part, Part::MonthShort | Part::WeekdayShort);
        if is_short && word(text.len()).is_some() {
            return None;
        }
        return Some((text.len(), part.clone()));
    }
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = rest.chars().nth(1).filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest.chars().skip(1).take_while(|c| *c == digit).count();
    if rest.chars().nth(1 + digits).is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((1 + digits, Part::Fraction { separator, digits, trimmed: digit == '9' }))
}
