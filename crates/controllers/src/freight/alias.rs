//! Names by which people know Freight: a describing word and an animal
//! (`api` 4.4). The words are our own.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

const DESCRIBING: [&str; 215] = [
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "ardent", "artful", "autumn",
    "azure", "balmy", "blithe", "bold", "bonny", "bouncy", "brave", "breezy", "bright", "brisk",
    "bubbly", "calm", "candid", "careful", "caring", "cheerful", "cheery", "chipper", "civil",
    "classic", "clear", "clever", "cool", "cordial", "cosy", "crafty", "crimson", "crisp",
    "curious", "cute", "dainty", "dapper", "daring", "dashing", "dear", "deft", "devoted",
    "dreamy", "dry", "eager", "early", "earnest", "easy", "elegant", "epic", "fair", "famous",
    "fancy", "fearless", "fine", "firm", "fleet", "fluffy", "fond", "frank", "free", "fresh",
    "frosty", "fun", "funny", "gallant", "gentle", "genuine", "gifted", "giving", "glad",
    "gleaming", "golden", "good", "graceful", "gracious", "grand", "grateful", "great", "green",
    "handy", "happy", "hardy", "hearty", "helpful", "honest", "hopeful", "humble", "ideal", "iron",
    "ivory", "jaunty", "jazzy", "jolly", "jovial", "joyful", "keen", "kind", "kindly", "lasting",
    "lavish", "level", "light", "likely", "lively", "loyal", "lucid", "lucky", "lunar", "magic",
    "mellow", "merry", "mighty", "mild", "mindful", "modest", "mossy", "musical", "neat", "nifty",
    "nimble", "noble", "novel", "opal", "open", "orderly", "patient", "peaceful", "perky",
    "placid", "plain", "playful", "pleasant", "plucky", "polite", "popular", "prime", "proud",
    "prudent", "pure", "quaint", "quick", "quiet", "radiant", "rapid", "rare", "ready", "regal",
    "robust", "rosy", "round", "royal", "rustic", "sage", "sandy", "serene", "sharp", "shiny",
    "silent", "silver", "simple", "sincere", "sleek", "sleepy", "smart", "smooth", "snowy", "snug",
    "soft", "solar", "solid", "sound", "spry", "stable", "steady", "stellar", "still", "stout",
    "strong", "sturdy", "subtle", "sunny", "sure", "swift", "tender", "thankful", "thrifty",
    "tidy", "timely", "tranquil", "trim", "true", "trusty", "upbeat", "urban", "useful", "valiant",
    "valued", "velvet", "verdant", "vibrant", "vivid", "warm", "wary", "wise", "witty", "worthy",
    "zany", "zesty", "zippy",
];

const ANIMALS: [&str; 279] = [
    "adder",
    "albatross",
    "alpaca",
    "anchovy",
    "ant",
    "anteater",
    "antelope",
    "armadillo",
    "auk",
    "avocet",
    "badger",
    "barbel",
    "barnacle",
    "bat",
    "beagle",
    "bear",
    "beaver",
    "bee",
    "beetle",
    "bison",
    "bittern",
    "bluebird",
    "boar",
    "bobcat",
    "bongo",
    "bonobo",
    "bream",
    "bulldog",
    "bullfinch",
    "bunting",
    "bustard",
    "butterfly",
    "buzzard",
    "camel",
    "canary",
    "capybara",
    "caracal",
    "caribou",
    "carp",
    "cat",
    "catfish",
    "chaffinch",
    "chamois",
    "cheetah",
    "chickadee",
    "chicken",
    "chinchilla",
    "chipmunk",
    "cicada",
    "civet",
    "clam",
    "cod",
    "collie",
    "condor",
    "coot",
    "coral",
    "corgi",
    "cormorant",
    "cougar",
    "cow",
    "coyote",
    "crab",
    "crane",
    "cricket",
    "crow",
    "cuckoo",
    "curlew",
    "cygnet",
    "dingo",
    "dipper",
    "dog",
    "dolphin",
    "donkey",
    "dormouse",
    "dove",
    "dragonfly",
    "duck",
    "dugong",
    "dunlin",
    "eagle",
    "echidna",
    "eel",
    "egret",
    "eider",
    "elephant",
    "elk",
    "emu",
    "ermine",
    "falcon",
    "fennec",
    "ferret",
    "finch",
    "firefly",
    "flamingo",
    "flounder",
    "fox",
    "frog",
    "gannet",
    "gazelle",
    "gecko",
    "gerbil",
    "gibbon",
    "giraffe",
    "gnu",
    "goat",
    "godwit",
    "goldfinch",
    "goose",
    "gopher",
    "goshawk",
    "grebe",
    "grouse",
    "guppy",
    "haddock",
    "halibut",
    "hamster",
    "hare",
    "harrier",
    "hawk",
    "hedgehog",
    "heron",
    "herring",
    "hippo",
    "hobby",
    "hoopoe",
    "hornet",
    "horse",
    "hyena",
    "ibex",
    "ibis",
    "iguana",
    "impala",
    "jackal",
    "jackdaw",
    "jaguar",
    "jay",
    "kestrel",
    "kingfisher",
    "kite",
    "kiwi",
    "koala",
    "kudu",
    "lamprey",
    "lapwing",
    "lark",
    "lemming",
    "lemur",
    "leopard",
    "limpet",
    "linnet",
    "lion",
    "lizard",
    "llama",
    "lobster",
    "loon",
    "lynx",
    "macaque",
    "macaw",
    "mackerel",
    "magpie",
    "mallard",
    "manatee",
    "mantis",
    "marlin",
    "marmot",
    "marten",
    "meerkat",
    "merlin",
    "mink",
    "minnow",
    "mole",
    "mongoose",
    "moose",
    "moth",
    "mouse",
    "mule",
    "mussel",
    "narwhal",
    "newt",
    "nightjar",
    "ocelot",
    "octopus",
    "okapi",
    "opossum",
    "orca",
    "oriole",
    "osprey",
    "ostrich",
    "otter",
    "owl",
    "ox",
    "oyster",
    "panda",
    "panther",
    "parrot",
    "partridge",
    "peacock",
    "pelican",
    "penguin",
    "perch",
    "petrel",
    "pheasant",
    "pigeon",
    "pike",
    "pipit",
    "plover",
    "polecat",
    "pony",
    "poodle",
    "porpoise",
    "possum",
    "prawn",
    "puffin",
    "puma",
    "quail",
    "quokka",
    "rabbit",
    "raccoon",
    "ram",
    "raven",
    "redstart",
    "reindeer",
    "robin",
    "rook",
    "sable",
    "salmon",
    "sandpiper",
    "sardine",
    "seahorse",
    "seal",
    "serval",
    "shark",
    "sheep",
    "shrew",
    "shrimp",
    "siskin",
    "skylark",
    "sloth",
    "snail",
    "snipe",
    "sparrow",
    "spider",
    "squid",
    "squirrel",
    "stag",
    "starling",
    "stoat",
    "stork",
    "sturgeon",
    "swallow",
    "swan",
    "swift",
    "tapir",
    "tench",
    "tern",
    "terrapin",
    "thrush",
    "tiger",
    "toad",
    "tortoise",
    "toucan",
    "trout",
    "tuna",
    "turbot",
    "turtle",
    "viper",
    "vole",
    "wagtail",
    "wallaby",
    "walrus",
    "warbler",
    "weasel",
    "whale",
    "wolf",
    "wombat",
    "woodcock",
    "wren",
    "yak",
    "zebra",
];

/// Aliases that were drawn and stand on no Freight yet, so that two passes at a
/// time do not give the same one to two pieces of Freight.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<BTreeSet<String>>);

/// An alias that nobody else is given while this is kept.
#[derive(Debug)]
pub struct Reserved<'a> {
    alias: String,
    of: &'a Reservations,
}

impl Reservations {
    /// An alias that is neither taken nor reserved.
    pub fn draw(&self, is_taken: impl Fn(&str) -> bool) -> Reserved<'_> {
        let mut reserved = self.lock();
        let alias = generate(|alias| reserved.contains(alias) || is_taken(alias));
        reserved.insert(alias.clone());
        Reserved { alias, of: self }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved<'_> {
    /// The alias.
    pub fn alias(&self) -> &str {
        &self.alias
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.of.lock().remove(&self.alias);
    }
}

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
    // Nearly all names are in use.
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
        // The form of `warehouses` 10.2 F4.
        let is_word =
            |w: &str| (1..=13).contains(&w.len()) && w.chars().all(|c| c.is_ascii_lowercase());
        assert_eq!(alias.split('-').filter(|w| is_word(w)).count(), 2, "{alias}");
        assert!(DESCRIBING.iter().chain(&ANIMALS).all(|w| is_word(w)));
        let numbered = generate(|a| a.split('-').count() == 2);
        assert_eq!(numbered.split('-').count(), 3, "{numbered}");
    }

    #[test]
    fn what_is_reserved_is_not_drawn_again() {
        let reservations = Reservations::default();
        let all: Vec<Reserved<'_>> = (0..500).map(|_| reservations.draw(|_| false)).collect();
        let distinct: BTreeSet<&str> = all.iter().map(Reserved::alias).collect();
        assert_eq!(distinct.len(), 500);
        drop(all);
        assert!(reservations.lock().is_empty());
    }
}
