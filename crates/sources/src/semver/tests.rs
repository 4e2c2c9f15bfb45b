use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// `warehouses` 4.4, the table of tags: what parses leniently, and strictly.
#[test]
fn tags() {
    for (tags, loose, strict) in [
        (&["1", "v1", "1.2", "v1.2"][..], true, false),
        (&["1.2.3", "v1.2.3"], true, true),
        (&["V1.2.3", "vv1.2.3"], false, false),
        (&["01.2.3", "1.02.3"], true, false),
        (&["1.2.3-rc.1", "v1.2.3-rc.1"], true, true),
        (&["1.2-5", "1-rc1"], true, false),
        (&["1.2.3.4"], false, false),
        (&["20240101", "1234567", "0123456"], true, false),
        (&["20221209-update-x-v4"], true, false),
        (&["1.2.3+meta", "1.2.3+meta.01"], true, true),
        (&["1.2.3_meta", "1.0.0-a_b"], false, false),
        (&["release-1.2.3", "latest", "a1b2c3d", "12e4567", ""], false, false),
        (&["1.2.3-01", "1.2.3-beta.01"], false, false),
        (&["1.2.3-0abc", "1.2.3-alpha.-1"], true, true),
        (&["1.2.3-", "1.2.3+", "1.", "1.2.beta"], false, false),
        (&["1.2.0-x.Y.0+metadata", "1.2.3-rc1-with-hyphen"], true, true),
        (&["18446744073709551615.0.0"], true, true),
        (&["18446744073709551616.0.0", "9.8.7+m+m", " 1.2.3", "1.2.3\n"], false, false),
    ] {
        for tag in tags {
            assert_eq!(Version::parse_tag(tag, false).is_some(), loose, "{tag:?} loose");
            assert_eq!(Version::parse_tag(tag, true).is_some(), strict, "{tag:?} strict");
        }
    }
    for (tag, means) in [
        ("1.2-5", (1, 2, 0, "5")),
        ("1-rc1", (1, 0, 0, "rc1")),
        ("01.2.3", (1, 2, 3, "")),
        ("20221209-update-x-v4", (20_221_209, 0, 0, "update-x-v4")),
    ] {
        let v = Version::parse(tag).expect(tag);
        assert_eq!((v.major(), v.minor(), v.patch(), v.pre()), means, "{tag}");
        assert_eq!(v.original(), tag);
    }
    assert!(Version::parse_strict("v1.2.3").is_none());
}

fn sorted(tags: &[&str]) -> Vec<String> {
    let mut versions: Vec<Version> = tags.iter().filter_map(|t| Version::parse(t)).collect();
    versions.reverse();
    versions.sort_by(newest_first);
    versions.iter().map(|v| v.original().to_owned()).collect()
}

#[test]
fn the_order_of_the_examples() {
    for tags in [
        &[
            "1.0.0",
            "1.0.0-rc1",
            "1.0.0-rc.1",
            "1.0.0-beta.11",
            "1.0.0-beta.2",
            "1.0.0-beta",
            "1.0.0-alpha.beta",
            "1.0.0-alpha.1",
            "1.0.0-alpha",
            "1.0.0-RC.1",
            "1.0.0-1a",
            "1.0.0-0",
        ][..],
        &["v1.0.0", "1.0.0+a", "1.0.0", "1.0", "1", "1.0.0-rc.1"],
        &["v1.10.0", "1.10.0", "v1.9.0", "1.9.0", "v1.9.0-rc.1"],
    ] {
        assert_eq!(sorted(tags), tags);
    }
    // A number beyond 64 bits counts as a word: after all numbers.
    let (a, b) = (Version::parse("1.0.0-99999999999999999999"), Version::parse("1.0.0-5"));
    assert_eq!(a.zip(b).map(|(a, b)| a.precedence(&b)), Some(Ordering::Greater));
}

/// One row of the table: the id, the constraints, what they admit, what not.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn constraints_admit_what_the_table_says() {
    let rows: &[Row<'_>] = &[
        (
            "warehouses/4.4-1",
            &["^1.26.0"],
            &["1.26.0", "1.27.3"],
            &["1.25.9", "2.0.0", "1.27.0-rc.1"],
        ),
        (
            "warehouses/4.4-2",
            &["^1.26.0-0"],
            &["1.26.0-alpha", "1.27.0-rc.1"],
            &["2.0.0-rc.1", "2.0.0"],
        ),
        ("warehouses/4.4-3", &["^v1.0.0", "^1", "^1.x", "^ 1"], &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("warehouses/4.4-4", &["^0"], &["0.0.1", "0.9.9"], &["1.0.0"]),
        ("warehouses/4.4-5", &["^0.0"], &["0.0.9"], &["0.1.0"]),
        ("warehouses/4.4-6", &["^0.2", "^0.2.3"], &["0.2.9"], &["0.3.0"]),
        ("warehouses/4.4-7", &["^0.0.3"], &["0.0.3"], &["0.0.4"]),
        ("warehouses/4.4-8", &["^0.0.0", "^*"], &["0.0.0"], &["0.0.1", "0.5.0", "1.2.3"]),
        ("warehouses/4.4-9", &["~1.2.3", "~1.2", "~> 1.2"], &["1.2.9"], &["1.3.0"]),
        ("warehouses/4.4-10", &["~1"], &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("warehouses/4.4-11", &["~0.0.0", "~*"], &["0.1.0", "99.0.0"], &["9.9.9-rc.1"]),
        (
            "warehouses/4.4-12",
            &["~1.2.3-beta.2"],
            &["1.2.3-beta.4", "1.2.4-beta.1", "1.2.3"],
            &["1.2.3-beta.1", "1.3.0-beta.2"],
        ),
        ("warehouses/4.4-13", &["*", "x", "X", "x.1"], &["0.0.0", "1.2.3"], &["1.2.3-rc.1"]),
        ("warehouses/4.4-14", &["*-0"], &["1.2.3", "1.2.3-rc.1"], &[]),
        ("warehouses/4.4-15", &["1", "1.x.3"], &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("warehouses/4.4-16", &["1.2", "=1.2", "1.2.x"], &["1.2.0", "1.2.9"], &["1.3.0"]),
        ("warehouses/4.4-17", &["1.2.x-0"], &["1.2.0-alpha", "1.2.3-alpha.1", "1.2.3"], &["1.3.0"]),
        ("warehouses/4.4-18", &["1.2.3"], &["1.2.3", "1.2.3+build.5"], &["1.2.4", "1.2.3-rc.1"]),
        ("warehouses/4.4-19", &["1.2.3-rc.1"], &["1.2.3-rc.1"], &["1.2.3"]),
        ("warehouses/4.4-20", &[">1", ">1.x"], &["2.0.0"], &["1.0.0", "1.9.9"]),
        ("warehouses/4.4-21", &[">1.2"], &["1.3.0"], &["1.2.0", "1.2.9"]),
        ("warehouses/4.4-22", &[">=1.2"], &["1.2.0", "4.0.0"], &["1.1.9", "4.0.0-rc.1"]),
        ("warehouses/4.4-23", &[">=1.2-0"], &["1.2.0-alpha", "4.0.0-rc.1"], &["1.1.9"]),
        ("warehouses/4.4-24", &[">=0-0"], &["0.0.0-alpha", "0.0.1-alpha"], &[]),
        ("warehouses/4.4-25", &[">0-0"], &["1.0.0-alpha"], &["0.0.1-alpha", "0.1.0"]),
        ("warehouses/4.4-26", &["<2"], &["1.9.9"], &["2.0.0", "2.0.0-rc.1"]),
        ("warehouses/4.4-27", &["<2.0.0-0"], &["1.9.9", "1.9.9-beta"], &["2.0.0-alpha"]),
        ("warehouses/4.4-28", &["<1.2.x"], &["1.1.9"], &["1.2.0"]),
        ("warehouses/4.4-29", &["<=1"], &["1.9.9"], &["2.0.0"]),
        ("warehouses/4.4-30", &["<=1.2"], &["0.9.0", "1.2.9"], &["1.3.0"]),
        ("warehouses/4.4-31", &["!=1.2.3"], &["1.2.4"], &["1.2.3", "1.2.4-rc.1"]),
        ("warehouses/4.4-32", &["!=1.2"], &["1.3.0"], &["1.2.0", "1.2.9"]),
        ("warehouses/4.4-33", &["!=1.x"], &["2.0.0"], &["1.5.0"]),
        ("warehouses/4.4-34", &["!=4.1-alpha"], &["4.1.0"], &["4.1.0-alpha", "4.1.1-alpha"]),
        ("warehouses/4.4-35", &[">=1.1, <2, !=1.2.3"], &["1.1.0", "1.2.4"], &["1.2.3", "2.0.0"]),
        (
            "warehouses/4.4-36",
            &[">=1.1 <2 !=1.2.3 || > 3"],
            &["4.0.0"],
            &["1.2.3", "3.0.0", "3.1.2"],
        ),
        (
            "warehouses/4.4-37",
            &[">= 1.0.0 <= 2.0.0-beta || > 3"],
            &["1.0.1-beta", "1.0.1", "4.0.0"],
            &["2.0.0", "4.0.0-beta"],
        ),
        ("warehouses/4.4-38", &["1.2 - 1.4.5"], &["1.2.0", "1.4.5"], &["1.1.9", "1.4.6"]),
        ("warehouses/4.4-39", &["1.2.3 - 2"], &["2.0.0", "2.9.9"], &["3.0.0"]),
        ("warehouses/4.4-40", &["1.2.3 - 2.3"], &["2.3.9"], &["2.4.0"]),
        ("warehouses/4.4-41", &["1.0.0 - 2.0.0, <=1.5.0"], &["1.5.0"], &["1.6.0"]),
        ("warehouses/4.4-42", &["2 - 3 || 5 - 6"], &["2.5.0", "6.9.9"], &["4.0.0"]),
        ("warehouses/4.4-43", &["1.1-3"], &["1.1.0", "1.1.9", "1.1.1-3"], &["4.3.2"]),
        ("warehouses/4.4-44", &["1.2.3-2.0.0"], &["1.2.3-2.0.0"], &["1.5.0"]),
        ("warehouses/4.4-45", &["=>1.2 =<1.4"], &["1.3.0", "1.4.9"], &["1.5.0"]),
        ("warehouses/4.4-46", &["1.2.3 1.2.4"], &[], &["1.2.3"]),
    ];
    for (id, constraints, admitted, refused) in rows {
        for text in *constraints {
            let constraint = Constraint::parse(text).unwrap_or_else(|e| panic!("{id} {text}: {e}"));
            for (versions, expected) in [(admitted, true), (refused, false)] {
                for version in *versions {
                    let version = Version::parse(version).expect(version);
                    let original = version.original();
                    assert_eq!(constraint.admits(&version), expected, "{id} {text} {original}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_constraint() {
    for text in [
        ">=1,<2",
        ">=1 , <2",
        "\t>=1\t",
        "12.3.34 ~1.2.3",
        "1.2.3-0abc",
        "v2.3.5-20161202202307-sha.e8fc5e5",
    ] {
        assert!(Constraint::parse(text).is_ok(), "{text:?}");
    }
    for text in [
        "",
        " ",
        "latest",
        "==1.2.3",
        "!1.2.3",
        ">=1.2.3;<2",
        ">=1.2.3 && <2",
        ">=1.2.3<2.0.0",
        "1.2.3.4",
        ">=1 ||",
        "|| 1",
        "^1.0.0,",
        ",^1",
        "v 1.2.3",
        "V1",
        "^V1.0",
        "xx",
        "1|2",
        "1.0.0-alpha..1",
        "v1.2.3-beta.01",
        "12.3.34~ 1.2.3",
        "^1.2.3 - 2.0.0",
        "1.0.0 -2.0.0",
        "1 - ",
        "(>=1)",
        "1.2.3 || latest",
    ] {
        let error = Constraint::parse(text).expect_err(text);
        assert!(error.to_string().starts_with("improper constraint: "), "{error}");
    }
    assert!(Constraint::parse(&"1 ".repeat(5000)).is_err(), "bounded");
}

fn version() -> impl Strategy<Value = Version> {
    let text =
        "v?(0|[1-3])(\\.(0|[1-3])){0,2}(-(0|[1-9]|rc|RC|a)(\\.(0|[1-9]|b)){0,2})?(\\+[a-c0]{1,2})?";
    text.prop_map(|text| Version::parse(&text).expect("the pattern gives versions"))
}

proptest! {
    /// The order of selections is total: reflexive, antisymmetric, transitive.
    #[test]
    fn the_order_is_total(a in version(), b in version(), c in version()) {
        prop_assert_eq!(newest_first(&a, &a), Ordering::Equal);
        prop_assert_eq!(newest_first(&a, &b), newest_first(&b, &a).reverse());
        if newest_first(&a, &b) != Ordering::Greater && newest_first(&b, &c) != Ordering::Greater {
            prop_assert_ne!(newest_first(&a, &c), Ordering::Greater);
        }
        if newest_first(&a, &b) == Ordering::Equal {
            prop_assert_eq!(a.original(), b.original());
        }
    }

    /// Of strict versions the order is the specification's, which another
    /// implementation knows too.
    #[test]
    fn the_order_is_the_specifications(
        a in "[0-2]\\.[0-2]\\.[0-2](-(0|[1-9][0-9]?|rc|RC|a-1)(\\.(0|[1-9]|b|B2)){0,3})?(\\+[a-c]{1,2})?",
        b in "[0-2]\\.[0-2]\\.[0-2](-(0|[1-9][0-9]?|rc|RC|a-1)(\\.(0|[1-9]|b|B2)){0,3})?(\\+[a-c]{1,2})?",
    ) {
        let ours = |text: &str| Version::parse_strict(text).expect("a version");
        let theirs = |text: &str| semver::Version::parse(text).expect("a version");
        prop_assert_eq!(ours(&a).precedence(&ours(&b)), theirs(&a).cmp_precedence(&theirs(&b)));
    }

    /// `=`, `<`, `>`, `<=`, `>=` with a whole version agree with the order.
    #[test]
    fn operators_agree_with_the_order(v in version(), c in version()) {
        // A pre-release in the constraint admits pre-releases.
        let whole = format!("{}.{}.{}", c.major(), c.minor(), c.patch());
        let whole = if c.is_prerelease() { format!("{whole}-{}", c.pre()) } else { whole };
        prop_assume!(c.is_prerelease() || !v.is_prerelease());
        let order = v.precedence(&c);
        for (op, expected) in [
            ("=", order == Ordering::Equal), ("!=", order != Ordering::Equal),
            ("<", order == Ordering::Less), ("<=", order != Ordering::Greater),
            (">", order == Ordering::Greater), (">=", order != Ordering::Less),
        ] {
            let constraint = Constraint::parse(&format!("{op}{whole}")).expect("a constraint");
            prop_assert_eq!(constraint.admits(&v), expected, "{} {}{}", v.original(), op, whole);
        }
    }

    /// No text makes the parsers panic.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        if let Ok(constraint) = Constraint::parse(&text)
            && let Some(version) = Version::parse("1.2.3-rc.1")
        {
            constraint.admits(&version);
        }
        let _ = Version::parse_tag(&text, true);
    }
}
