//! The rewritings of the reference that can be seen in results
//! (`expressions` 6.3): truth values that are written are folded away, and
//! what reads a `filter` reads its elements directly.

use crate::ast::{Ast, BinaryOp, Id, Node, PredicateCall, PredicateKind, UnaryOp};
use crate::ops;
use crate::value::Value;

enum Change {
    /// Becomes a constant.
    To(Value),
    /// Becomes what another node is.
    As(Id),
    /// Becomes another call.
    Call(PredicateCall),
    /// Becomes a filter by two predicates.
    Both(PredicateCall, Id),
}

/// Rewrites in one pass: children come before their parents.
pub(crate) fn fold(ast: &mut Ast) {
    for id in 0..ast.nodes.len() {
        let Some(change) = ast.nodes.get(id).and_then(|node| change(ast, node)) else { continue };
        let (node, position) = match change {
            Change::To(value) => (Node::Constant(value), None),
            Change::As(other) => {
                (ast.node(other).clone(), ast.positions.get(other as usize).copied())
            }
            Change::Call(call) => (Node::Predicate(call), None),
            Change::Both(call, second) => {
                let predicate = call.predicate.map(|first| both(ast, first, second));
                (Node::Predicate(PredicateCall { predicate, ..call }), None)
            }
        };
        if let Some(slot) = ast.nodes.get_mut(id) {
            *slot = node;
        }
        if let (Some(slot), Some(position)) = (ast.positions.get_mut(id), position) {
            *slot = position;
        }
    }
}

/// A node that is `first && second`, folded.
fn both(ast: &mut Ast, first: Id, second: Id) -> Id {
    match (truth(ast, first), truth(ast, second)) {
        (Some(true), _) | (_, Some(false)) => second,
        (_, Some(true)) | (Some(false), _) => first,
        _ => {
            let id = Id::try_from(ast.nodes.len()).unwrap_or(Id::MAX);
            let position = ast.positions.get(second as usize).copied().unwrap_or(0);
            ast.nodes.push(Node::Binary(BinaryOp::And, first, second));
            ast.positions.push(position);
            id
        }
    }
}

fn truth(ast: &Ast, id: Id) -> Option<bool> {
    match ast.node(id) {
        Node::Constant(Value::Bool(b)) => Some(*b),
        _ => None,
    }
}

fn filter(ast: &Ast, id: Id) -> Option<PredicateCall> {
    match ast.node(id) {
        Node::Predicate(call) if call.kind == PredicateKind::Filter && call.mapped.is_none() => {
            Some(*call)
        }
        _ => None,
    }
}

fn change(ast: &Ast, node: &Node) -> Option<Change> {
    match node {
        Node::Unary(UnaryOp::Not, a) => truth(ast, *a).map(|b| Change::To(Value::Bool(!b))),
        Node::Unary(op, a) => match (op, ast.node(*a)) {
            (UnaryOp::Plus, Node::Constant(number @ Value::Int(_))) => {
                Some(Change::To(number.clone()))
            }
            (UnaryOp::Minus, Node::Constant(Value::Int(i))) => {
                Some(Change::To(Value::Int(i.wrapping_neg())))
            }
            _ => None,
        },
        Node::Binary(BinaryOp::And, a, b) => match (truth(ast, *a), truth(ast, *b)) {
            (Some(true), _) => Some(Change::As(*b)),
            (_, Some(true)) => Some(Change::As(*a)),
            (Some(false), _) | (_, Some(false)) => Some(Change::To(Value::Bool(false))),
            _ => None,
        },
        Node::Binary(BinaryOp::Or, a, b) => match (truth(ast, *a), truth(ast, *b)) {
            (Some(false), _) => Some(Change::As(*b)),
            (_, Some(false)) => Some(Change::As(*a)),
            (Some(true), _) | (_, Some(true)) => Some(Change::To(Value::Bool(true))),
            _ => None,
        },
        Node::Binary(op, a, b) => match (ast.node(*a), ast.node(*b)) {
            (Node::Constant(a), Node::Constant(b)) => constant(*op, a, b).map(Change::To),
            _ => None,
        },
        Node::Predicate(call) if call.kind == PredicateKind::Map => {
            let inner = filter(ast, call.collection)?;
            Some(Change::Call(PredicateCall { mapped: call.predicate, ..inner }))
        }
        Node::Predicate(call) if call.kind == PredicateKind::Filter && call.mapped.is_none() => {
            Some(Change::Both(filter(ast, call.collection)?, call.predicate?))
        }
        Node::Builtin { index, arguments } => {
            let &[one] = ast.list(*arguments) else { return None };
            let inner = filter(ast, one)?;
            let kind = match crate::builtins::name(*index) {
                "len" => PredicateKind::Count,
                "first" => PredicateKind::Find,
                "last" => PredicateKind::FindLast,
                _ => return None,
            };
            Some(Change::Call(PredicateCall { kind, ..inner }))
        }
        _ => None,
    }
}

/// What the reference computes before it runs. It shows where the result is a
/// truth value beside `&&` or `||`: `x && 1 + 1 == 2` is `x`.
fn constant(op: BinaryOp, a: &Value, b: &Value) -> Option<Value> {
    match (op, a, b) {
        (BinaryOp::Equal, Value::Int(_), Value::Int(_))
        | (BinaryOp::Equal, Value::String(_), Value::String(_))
        | (BinaryOp::Equal, Value::Bool(_), Value::Bool(_)) => Some(ops::equal(a, b).into()),
        (BinaryOp::Add, Value::Int(_), Value::Int(_))
        | (BinaryOp::Add, Value::String(_), Value::String(_)) => ops::add(a, b).ok(),
        (BinaryOp::Subtract, Value::Int(_), Value::Int(_)) => ops::subtract(a, b).ok(),
        (BinaryOp::Multiply, Value::Int(_), Value::Int(_)) => ops::multiply(a, b).ok(),
        (BinaryOp::Modulo, Value::Int(_), Value::Int(_)) => ops::modulo(a, b).ok(),
        _ => None,
    }
}
