//! Nodes to text, in one canonical form that parses to the same nodes.

use std::fmt::Write as _;

use crate::ast::{Ast, Id, List, Node, Pointer, PredicateCall, UnaryOp};
use crate::gotext::quote;
use crate::value::Value;

/// Longer texts are cut: operands that two comparisons share are printed
/// twice, which doubles with each level.
const MAX_TEXT: usize = 1 << 20;

pub(crate) fn print(ast: &Ast) -> String {
    let mut out = String::new();
    Printer { ast, out: &mut out }.node(ast.root);
    out
}

struct Printer<'a> {
    ast: &'a Ast,
    out: &'a mut String,
}

impl Printer<'_> {
    fn node(&mut self, id: Id) {
        if self.out.len() > MAX_TEXT {
            return;
        }
        match self.ast.node(id) {
            Node::Constant(value) => self.constant(value),
            Node::Name(name) | Node::Local { name, .. } => self.out.push_str(self.ast.text(*name)),
            Node::Environment => self.out.push_str("$env"),
            Node::Pointer { pointer, .. } => self.out.push_str(match pointer {
                Pointer::Item => "#",
                Pointer::Index => "#index",
                Pointer::Accumulator => "#acc",
            }),
            Node::Unary(op, operand) => {
                self.out.push_str(match op {
                    UnaryOp::Not => "(not ",
                    UnaryOp::Minus => "(-",
                    UnaryOp::Plus => "(+",
                });
                self.node(*operand);
                self.out.push(')');
            }
            Node::Binary(..) => self.binary(id),
            Node::Field { object, name, optional } => {
                self.operand(*object);
                self.out.push_str(if *optional { "?." } else { "." });
                self.out.push_str(self.ast.text(*name));
            }
            Node::Index { object, key, optional } => {
                self.operand(*object);
                self.out.push_str(if *optional { "?.[" } else { "[" });
                self.node(*key);
                self.out.push(']');
            }
            Node::Slice { object, from, to } => {
                self.operand(*object);
                self.out.push('[');
                if let Some(from) = from {
                    self.node(*from);
                }
                self.out.push(':');
                if let Some(to) = to {
                    self.node(*to);
                }
                self.out.push(']');
            }
            Node::Chain(inner) => self.node(*inner),
            Node::CallName { name, arguments, .. } => {
                self.out.push_str(self.ast.text(*name));
                self.list('(', *arguments, ')');
            }
            Node::Call { callee, arguments } => {
                self.operand(*callee);
                self.list('(', *arguments, ')');
            }
            Node::Builtin { index, arguments } => {
                self.out.push_str(crate::builtins::name(*index));
                self.list('(', *arguments, ')');
            }
            Node::Predicate(call) => self.predicate(*call),
            Node::Condition { condition, then, otherwise, is_if } => {
                if *is_if {
                    self.out.push_str("(if ");
                    self.node(*condition);
                    self.out.push_str(" { ");
                    self.node(*then);
                    self.out.push_str(" } else { ");
                    self.node(*otherwise);
                    self.out.push_str(" })");
                } else {
                    self.out.push('(');
                    self.node(*condition);
                    if then == condition {
                        self.out.push_str(" ?: ");
                    } else {
                        self.out.push_str(" ? ");
                        self.node(*then);
                        self.out.push_str(" : ");
                    }
                    self.node(*otherwise);
                    self.out.push(')');
                }
            }
            Node::Let { name, value, body, .. } => {
                let _ = write!(self.out, "(let {} = ", self.ast.text(*name));
                self.node(*value);
                self.out.push_str("; ");
                self.node(*body);
                self.out.push(')');
            }
            Node::Sequence(items) => {
                self.out.push('(');
                for (i, id) in self.ast.list(*items).iter().enumerate() {
                    if i > 0 {
                        self.out.push_str("; ");
                    }
                    self.node(*id);
                }
                self.out.push(')');
            }
            Node::Array(items) => self.list('[', *items, ']'),
            Node::Map(items) => {
                self.out.push('{');
                for (i, pair) in self.ast.list(*items).chunks(2).enumerate() {
                    if i > 0 {
                        self.out.push_str(", ");
                    }
                    if let [key, value] = pair {
                        match self.ast.node(*key) {
                            Node::Constant(Value::String(key)) => self.out.push_str(&quote(key)),
                            _ => {
                                self.out.push('(');
                                self.node(*key);
                                self.out.push(')');
                            }
                        }
                        self.out.push_str(": ");
                        self.node(*value);
                    }
                }
                self.out.push('}');
            }
        }
    }

    /// What stands before a `.`, `[` or `(`: a number would take the dot.
    fn operand(&mut self, id: Id) {
        let is_number =
            matches!(self.ast.node(id), Node::Constant(Value::Int(_) | Value::Float(_)));
        if is_number {
            self.out.push('(');
        }
        self.node(id);
        if is_number {
            self.out.push(')');
        }
    }

    fn binary(&mut self, id: Id) {
        let mut waiting = Vec::new();
        let mut at = id;
        while let Node::Binary(op, left, right) = self.ast.node(at) {
            waiting.push((*op, *right));
            self.out.push('(');
            at = *left;
        }
        self.node(at);
        while let Some((op, right)) = waiting.pop() {
            let _ = write!(self.out, " {} ", op.text());
            self.node(right);
            self.out.push(')');
        }
    }

    fn predicate(&mut self, call: PredicateCall) {
        self.out.push_str(call.kind.name());
        self.out.push('(');
        self.node(call.collection);
        if let Some(predicate) = call.predicate {
            self.out.push_str(", {");
            self.node(predicate);
            self.out.push('}');
        }
        if let Some(extra) = call.extra {
            self.out.push_str(", ");
            self.node(extra);
        }
        self.out.push(')');
    }

    fn list(&mut self, open: char, list: List, close: char) {
        self.out.push(open);
        for (i, id) in self.ast.list(list).iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.node(*id);
        }
        self.out.push(close);
    }

    fn constant(&mut self, value: &Value) {
        match value {
            Value::Nil => self.out.push_str("nil"),
            Value::Float(f) => {
                let text = format!("{f:?}");
                self.out.push_str(&text);
            }
            Value::String(s) => self.out.push_str(&quote(s)),
            Value::Bytes(bytes) => {
                self.out.push_str("b\"");
                for b in bytes.iter() {
                    let _ = write!(self.out, "\\x{b:02x}");
                }
                self.out.push('"');
            }
            other => {
                let _ = write!(self.out, "{}", other.to_text());
            }
        }
    }
}
