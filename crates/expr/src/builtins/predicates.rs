//! The built-ins that take a predicate, for the reference page; the
//! evaluator has them in `predicate.rs`.

use super::{Builtin, Group};

const fn predicate(
    name: &'static str,
    signature: &'static str,
    doc: &'static str,
    example: &'static str,
    result: &'static str,
) -> Builtin {
    Builtin { name, signature, doc, example, result: Some(result), min: 1, max: 3, body: None }
}

pub(super) const GROUP: Group = Group {
    title: "Predicates",
    builtins: &[
        predicate(
            "all",
            "all(array, predicate)",
            "Whether the predicate holds for every element; true for an empty array.",
            "all([2, 4], # % 2 == 0)",
            "true",
        ),
        predicate(
            "any",
            "any(array, predicate)",
            "Whether the predicate holds for some element.",
            "any([{'t': 'a'}, {'t': 'b'}], .t == 'b')",
            "true",
        ),
        predicate(
            "one",
            "one(array, predicate)",
            "Whether the predicate holds for exactly one element.",
            "one([1, 2, 3], # > 2)",
            "true",
        ),
        predicate(
            "none",
            "none(array, predicate)",
            "Whether the predicate holds for no element.",
            "none([1, 2, 3], # > 3)",
            "true",
        ),
        predicate(
            "filter",
            "filter(array, predicate)",
            "The elements for which the predicate holds.",
            "filter([1, 2, 3], # > 1)",
            "[2, 3]",
        ),
        predicate(
            "map",
            "map(array, predicate)",
            "What the predicate gives for each element; `#index` is its position.",
            "map(['a', 'b'], # + string(#index))",
            r#"["a0", "b1"]"#,
        ),
        predicate(
            "find",
            "find(array, predicate)",
            "The first element for which the predicate holds, or nil.",
            "find([1, 2, 3], # > 1)",
            "2",
        ),
        predicate(
            "findIndex",
            "findIndex(array, predicate)",
            "The position of the first element for which the predicate holds, or nil.",
            "findIndex([1, 2, 3], # > 1)",
            "1",
        ),
        predicate(
            "findLast",
            "findLast(array, predicate)",
            "The last element for which the predicate holds, or nil.",
            "findLast([1, 2, 3], # > 1)",
            "3",
        ),
        predicate(
            "findLastIndex",
            "findLastIndex(array, predicate)",
            "The position of the last element for which the predicate holds, or nil.",
            "findLastIndex([1, 2, 3], # > 1)",
            "2",
        ),
        predicate(
            "count",
            "count(array[, predicate])",
            "How many elements the predicate holds for; without one, how many are true.",
            "count([1, 2, 3], # > 1)",
            "2",
        ),
        predicate(
            "sum",
            "sum(array[, predicate])",
            "The sum of the elements, or of what the predicate gives for each; 0 for an empty array.",
            "sum([{'n': 1}, {'n': 2}], .n)",
            "3",
        ),
        predicate(
            "groupBy",
            "groupBy(array, predicate)",
            "The elements in groups by what the predicate gives. Its keys are of any type, so it has no JSON form of its own.",
            "groupBy([1, 2, 3], # % 2)[1]",
            "[1, 3]",
        ),
        predicate(
            "sortBy",
            "sortBy(array, predicate[, 'asc' or 'desc'])",
            "The elements in the order of what the predicate gives for each.",
            "sortBy([{'n': 2}, {'n': 1}], .n)",
            r#"[{"n": 1}, {"n": 2}]"#,
        ),
        predicate(
            "reduce",
            "reduce(array, predicate[, first])",
            "What the predicate gives last, with `#acc` as what it gave before; it begins with `first`, or with the first element.",
            "reduce([1, 2, 3], #acc + #, 10)",
            "16",
        ),
    ],
};
