//! A parsed expression: nodes in one list, children before their parents.

use std::sync::Arc;

use crate::value::Value;

/// A node's place in [`Ast::nodes`].
pub(crate) type Id = u32;

/// Some consecutive entries of [`Ast::lists`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct List {
    pub start: u32,
    pub len: u32,
}

/// A part of the source, for names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text {
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Not,
    Minus,
    Plus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Coalesce,
}

impl BinaryOp {
    /// As it is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessEqual => "<=",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
            Self::Coalesce => "??",
        }
    }

    /// The operator and its precedence (`expressions` 6.2).
    pub(crate) fn of(text: &str) -> Option<(Self, u16)> {
        Some(match text {
            "or" | "||" => (Self::Or, 10),
            "and" | "&&" => (Self::And, 15),
            "==" => (Self::Equal, 20),
            "!=" => (Self::NotEqual, 20),
            "<" => (Self::Less, 20),
            ">" => (Self::Greater, 20),
            "<=" => (Self::LessEqual, 20),
            ">=" => (Self::GreaterEqual, 20),
            "in" => (Self::In, 20),
            "matches" => (Self::Matches, 20),
            "contains" => (Self::Contains, 20),
            "startsWith" => (Self::StartsWith, 20),
            "endsWith" => (Self::EndsWith, 20),
            ".." => (Self::Range, 25),
            "+" => (Self::Add, 30),
            "-" => (Self::Subtract, 30),
            "*" => (Self::Multiply, 60),
            "/" => (Self::Divide, 60),
            "%" => (Self::Modulo, 60),
            "**" | "^" => (Self::Power, 100),
            "??" => (Self::Coalesce, 500),
            _ => return None,
        })
    }

    pub(crate) fn is_ordering(self) -> bool {
        matches!(self, Self::Less | Self::Greater | Self::LessEqual | Self::GreaterEqual)
    }
}

/// What `#`, `#index` and `#acc` stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointer {
    Item,
    Index,
    Accumulator,
}

/// The built-ins that take a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PredicateKind {
    All,
    None,
    Any,
    One,
    Filter,
    Map,
    Count,
    Sum,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    SortBy,
    Reduce,
}

impl PredicateKind {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "none" => Self::None,
            "any" => Self::Any,
            "one" => Self::One,
            "filter" => Self::Filter,
            "map" => Self::Map,
            "count" => Self::Count,
            "sum" => Self::Sum,
            "find" => Self::Find,
            "findIndex" => Self::FindIndex,
            "findLast" => Self::FindLast,
            "findLastIndex" => Self::FindLastIndex,
            "groupBy" => Self::GroupBy,
            "sortBy" => Self::SortBy,
            "reduce" => Self::Reduce,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::None => "none",
            Self::Any => "any",
            Self::One => "one",
            Self::Filter => "filter",
            Self::Map => "map",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Find => "find",
            Self::FindIndex => "findIndex",
            Self::FindLast => "findLast",
            Self::FindLastIndex => "findLastIndex",
            Self::GroupBy => "groupBy",
            Self::SortBy => "sortBy",
            Self::Reduce => "reduce",
        }
    }

    /// Whether the predicate may be left out.
    pub(crate) fn predicate_is_optional(self) -> bool {
        matches!(self, Self::Count | Self::Sum)
    }

    /// Whether a third argument (an order, a first value) may follow.
    pub(crate) fn has_extra(self) -> bool {
        matches!(self, Self::SortBy | Self::Reduce)
    }
}

/// A call of a built-in with a predicate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PredicateCall {
    pub kind: PredicateKind,
    pub collection: Id,
    pub predicate: Option<Id>,
    pub extra: Option<Id>,
    /// For `filter`: what becomes of the elements that pass.
    pub mapped: Option<Id>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Constant(Value),
    /// A variable of the environment, or nothing.
    Name(Text),
    /// A variable of a `let`.
    Local {
        slot: u16,
        name: Text,
    },
    /// `$env`.
    Environment,
    /// `#`; `collection` is what it walks over.
    Pointer {
        pointer: Pointer,
        collection: Id,
    },
    Unary(UnaryOp, Id),
    Binary(BinaryOp, Id, Id),
    /// `object.name`.
    Field {
        object: Id,
        name: Text,
        optional: bool,
    },
    /// `object[key]`.
    Index {
        object: Id,
        key: Id,
        optional: bool,
    },
    Slice {
        object: Id,
        from: Option<Id>,
        to: Option<Id>,
    },
    /// Where a `?.` inside that met nil continues.
    Chain(Id),
    /// `name(…)` of a function of the environment.
    CallName {
        name: Text,
        local: Option<u16>,
        arguments: List,
    },
    /// `callee(…)` of a value.
    Call {
        callee: Id,
        arguments: List,
    },
    /// A built-in by its place in the registry.
    Builtin {
        index: u16,
        arguments: List,
    },
    Predicate(PredicateCall),
    Condition {
        condition: Id,
        then: Id,
        otherwise: Id,
        is_if: bool,
    },
    Let {
        slot: u16,
        name: Text,
        value: Id,
        body: Id,
        redeclared: bool,
    },
    Sequence(List),
    Array(List),
    /// Keys and values in turns.
    Map(List),
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub source: Arc<str>,
    pub nodes: Vec<Node>,
    /// Where each node is in the source, for messages.
    pub positions: Vec<u32>,
    pub lists: Vec<Id>,
    pub root: Id,
    /// Ranges of nodes that the reference does not check before it runs:
    /// arguments of calls whose callee has no known type.
    pub unchecked: Vec<(Id, Id)>,
}

static NIL: Node = Node::Constant(Value::Nil);

impl Ast {
    pub(crate) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&NIL)
    }

    pub(crate) fn list(&self, list: List) -> &[Id] {
        self.lists.get(list.start as usize..(list.start + list.len) as usize).unwrap_or(&[])
    }

    pub(crate) fn text(&self, text: Text) -> &str {
        self.source.get(text.start as usize..text.end as usize).unwrap_or("")
    }
}
