//! What the reference finds wrong before it runs (`expressions` 6.3): types
//! that are known from the text alone. Whatever is not known passes; the
//! evaluator decides.

use crate::ast::{Ast, BinaryOp, Id, Node, Pointer, PredicateKind, UnaryOp};
use crate::error::{Error, Span};
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Unknown,
    Nil,
    Bool,
    Int,
    Float,
    String,
    Array,
    Map,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Nil => "nil",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float64",
            Self::String => "string",
            Self::Array => "[]interface {}",
            Self::Map => "map[string]interface {}",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }
}

/// Checks every node that the reference checks.
pub(crate) fn check(ast: &Ast) -> Result<(), Error> {
    let mut types: Vec<Type> = Vec::with_capacity(ast.nodes.len());
    let mut failures: Vec<(Id, Error)> = Vec::new();
    for (id, node) in (0..).zip(&ast.nodes) {
        let outcome = type_of(ast, &types, node);
        types.push(*outcome.as_ref().unwrap_or(&Type::Unknown));
        if let Err(error) = outcome {
            failures.push((id, error));
        }
        // Bounds of a slice of something unknown are not looked at.
        if let Node::Slice { object, .. } = node
            && types.get(*object as usize) == Some(&Type::Unknown)
        {
            failures.retain(|(failed, _)| failed <= object);
        }
    }
    let checked = |id: Id| !ast.unchecked.iter().any(|(from, to)| (*from..*to).contains(&id));
    match failures.into_iter().find(|(id, _)| checked(*id)) {
        Some((id, error)) => Err(at(ast, id, error)),
        None => Ok(()),
    }
}

/// The error at another node than the one that is checked.
fn at(ast: &Ast, id: Id, error: Error) -> Error {
    let start = ast.positions.get(id as usize).copied().unwrap_or(0);
    error.at(Span { start, end: start + 1 }, &ast.source)
}

fn type_of(ast: &Ast, types: &[Type], node: &Node) -> Result<Type, Error> {
    let of = |id: Id| types.get(id as usize).copied().unwrap_or(Type::Unknown);
    Ok(match node {
        Node::Constant(value) => match value {
            Value::Nil => Type::Nil,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::String(_) => Type::String,
            _ => Type::Unknown,
        },
        Node::Array(_) => Type::Array,
        Node::Map(_) => Type::Map,
        Node::Pointer { pointer: Pointer::Index, .. } => Type::Int,
        Node::Pointer { pointer: Pointer::Item, collection } => {
            // The element type of a written list is the last one's when all
            // are of one kind; nil and unknown are of one kind.
            match ast.node(*collection) {
                Node::Array(list) => {
                    let items = ast.list(*list);
                    let nil = items.last().is_some_and(|id| of(*id) == Type::Nil)
                        && items.iter().all(|id| matches!(of(*id), Type::Nil | Type::Unknown));
                    if nil { Type::Nil } else { Type::Unknown }
                }
                _ => Type::Unknown,
            }
        }
        Node::Unary(op, operand) => {
            let operand = of(*operand);
            match op {
                UnaryOp::Not if matches!(operand, Type::Bool | Type::Unknown) => Type::Bool,
                UnaryOp::Minus | UnaryOp::Plus
                    if operand.is_number() || operand == Type::Unknown =>
                {
                    operand
                }
                _ => {
                    let op = match op {
                        UnaryOp::Not => "!",
                        UnaryOp::Minus => "-",
                        UnaryOp::Plus => "+",
                    };
                    return Err(Error::compile(format!(
                        "invalid operation: {op} (mismatched type {})",
                        operand.name()
                    )));
                }
            }
        }
        Node::Binary(op, left, right) => {
            let at = ast.positions.get(types.len()).copied().unwrap_or(0) as usize;
            let written = ast.source.get(at..).unwrap_or("");
            let text = match op {
                BinaryOp::And if written.starts_with("and") => "and",
                BinaryOp::Or if written.starts_with("or") => "or",
                BinaryOp::Power if written.starts_with('^') => "^",
                _ => op.text(),
            };
            binary(*op, text, of(*left), of(*right))?
        }
        Node::Condition { condition: place, then, otherwise, .. } => {
            let condition = of(*place);
            if !matches!(condition, Type::Bool | Type::Unknown) {
                let error = Error::compile(format!(
                    "non-bool expression (type {}) used as condition",
                    condition.name()
                ));
                return Err(at(ast, *place, error));
            }
            if of(*then) == of(*otherwise) { of(*then) } else { Type::Unknown }
        }
        Node::Index { object, key: place, .. } => match (of(*object), of(*place)) {
            (Type::Array, key) if !matches!(key, Type::Int | Type::Unknown) => {
                let error = Error::compile(format!(
                    "array elements can only be selected using an integer (got {})",
                    key.name()
                ));
                return Err(at(ast, *place, error));
            }
            (object @ (Type::Bool | Type::Int | Type::Float | Type::String), _) => {
                let key = of(*place).name();
                return Err(Error::compile(format!("type {}[{key}] is undefined", object.name())));
            }
            _ => Type::Unknown,
        },
        Node::Field { object, name, .. } => match of(*object) {
            object @ (Type::Bool | Type::Int | Type::Float | Type::String) => {
                return Err(Error::compile(format!(
                    "type {} has no field {}",
                    object.name(),
                    ast.text(*name)
                )));
            }
            _ => Type::Unknown,
        },
        Node::Let { name, redeclared: true, .. } => {
            return Err(Error::compile(format!("cannot redeclare variable {}", ast.text(*name))));
        }
        Node::Let { body, .. } => of(*body),
        Node::Builtin { index, arguments } => {
            crate::builtins::check_arity(*index, arguments.len as usize)?;
            Type::Unknown
        }
        Node::Predicate(call) => {
            if call.predicate.is_some_and(|id| of(id) == Type::Nil) {
                return Err(Error::compile(
                    "predicate should has one input and one output param: it is always nil",
                ));
            }
            let collection = of(call.collection);
            if !matches!(collection, Type::Array | Type::Unknown) {
                let error = Error::compile(format!(
                    "builtin {} takes only array (got {})",
                    call.kind.name(),
                    collection.name()
                ));
                return Err(at(ast, call.collection, error));
            }
            match call.kind {
                PredicateKind::All
                | PredicateKind::None
                | PredicateKind::Any
                | PredicateKind::One => Type::Bool,
                PredicateKind::Count => Type::Int,
                PredicateKind::Filter | PredicateKind::Map => Type::Array,
                PredicateKind::SortBy => collection,
                PredicateKind::GroupBy => Type::Map,
                _ => Type::Unknown,
            }
        }
        _ => Type::Unknown,
    })
}

fn binary(op: BinaryOp, text: &str, left: Type, right: Type) -> Result<Type, Error> {
    use Type::{Array, Bool, Float, Int, Nil, String, Unknown};
    let both = |test: fn(Type) -> bool| {
        (left == Unknown || test(left)) && (right == Unknown || test(right))
    };
    let unknown = left == Unknown || right == Unknown;
    let fits = match op {
        BinaryOp::Equal | BinaryOp::NotEqual => {
            unknown
                || left == right
                || (left.is_number() && right.is_number())
                || left == Nil
                || right == Nil
        }
        BinaryOp::Or | BinaryOp::And => both(|t| t == Bool),
        BinaryOp::Less | BinaryOp::Greater | BinaryOp::LessEqual | BinaryOp::GreaterEqual => {
            both(Type::is_number) || both(|t| t == String)
        }
        BinaryOp::Add => both(Type::is_number) || both(|t| t == String),
        BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Power => {
            both(Type::is_number)
        }
        BinaryOp::Modulo | BinaryOp::Range => both(|t| t == Int),
        BinaryOp::In => matches!(right, Array | Type::Map | Unknown | Nil),
        BinaryOp::Matches | BinaryOp::Contains | BinaryOp::StartsWith | BinaryOp::EndsWith => {
            both(|t| t == String)
        }
        BinaryOp::Coalesce => true,
    };
    if !fits {
        return Err(Error::compile(format!(
            "invalid operation: {text} (mismatched types {} and {})",
            left.name(),
            right.name()
        )));
    }
    Ok(match op {
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::Greater
        | BinaryOp::LessEqual
        | BinaryOp::GreaterEqual
        | BinaryOp::In
        | BinaryOp::Matches
        | BinaryOp::Contains
        | BinaryOp::StartsWith
        | BinaryOp::EndsWith => Bool,
        BinaryOp::Or | BinaryOp::And if !unknown => Bool,
        BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply => match (left, right) {
            (Int, Int) => Int,
            (a, b) if a.is_number() && b.is_number() => Float,
            (String, String) => String,
            _ => Unknown,
        },
        BinaryOp::Divide | BinaryOp::Power if !unknown => Float,
        BinaryOp::Modulo if !unknown => Int,
        BinaryOp::Range => Array,
        _ => Unknown,
    })
}
