//! Names by which people know Freight: a describing word and an animal
//! (`api` 4.4). The words are our own.

const DESCRIBING: [&str; 48] = [
    "amber", "brave", "brisk", "calm", "candid", "careful", "cheerful", "clever", "cosy",
    "curious", "dapper", "daring", "eager", "early", "elegant", "fair", "fearless", "fluffy",
    "gentle", "glad", "golden", "graceful", "happy", "honest", "humble", "jolly", "keen", "kind",
    "lively", "lucky", "mellow", "merry", "nimble", "noble", "patient", "playful", "polite",
    "proud", "quiet", "ready", "silver", "sleepy", "steady", "sunny", "swift", "tidy", "witty",
    "zesty",
];

const ANIMALS: [&str; 48] = [
    "alpaca", "badger", "beaver", "bison", "bobcat", "camel", "cheetah", "crane", "dolphin",
    "donkey", "dormouse", "eagle", "egret", "falcon", "ferret", "finch", "fox", "gecko", "gibbon",
    "goose", "hare", "hedgehog", "heron", "ibex", "jackal", "kestrel", "koala", "lemur", "llama",
    "lynx", "magpie", "marmot", "mole", "moose", "narwhal", "newt", "ocelot", "otter", "owl",
    "panda", "pelican", "puffin", "quail", "raven", "seal", "stoat", "tapir", "walrus",
];

/// How many names are drawn before a number is added.
const DRAWS: usize = 64;

/// An alias that is not taken yet.
pub fn generate(is_taken: impl Fn(&str) -> bool) -> String {
    for _ in 0..DRAWS {
        let alias = draw();
        if !is_taken(&alias) {
            return alias;
        }
    }
    // Nearly all of the 2304 names are in use.
    let mut number: u32 = rand::random::<u32>() % 1_000_000;
    loop {
        let alias = format!("{}-{number}", draw());
        if !is_taken(&alias) {
            return alias;
        }
        number = number.wrapping_add(1);
    }
}

fn draw() -> String {
    format!("{}-{}", pick(&DESCRIBING), pick(&ANIMALS))
}

fn pick(words: &'static [&'static str]) -> &'static str {
    let at = rand::random::<u64>() as usize % words.len().max(1);
    words.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_two_words_and_not_taken() {
        let alias = generate(|_| false);
        assert_eq!(alias.split('-').count(), 2, "{alias}");
        let numbered = generate(|a| a.split('-').count() == 2);
        assert_eq!(numbered.split('-').count(), 3, "{numbered}");
    }
}
