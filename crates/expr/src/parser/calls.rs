//! What follows an operand: members, elements, slices, calls.

use super::{Outcome, Parser};
use crate::ast::{Id, List, Node, PredicateCall, PredicateKind};
use crate::lexer::{Kind, Token};

impl<'a> Parser<'a> {
    pub(super) fn arguments(&mut self, first: Option<Id>) -> Outcome<List> {
        let mut ids: Vec<Id> = first.into_iter().collect();
        self.expect(Kind::Bracket, "(")?;
        let mut any = false;
        while !self.is(Kind::Bracket, ")") {
            if any {
                self.expect(Kind::Operator, ",")?;
                if self.is(Kind::Bracket, ")") {
                    break;
                }
            }
            any = true;
            ids.push(self.expression(0)?);
        }
        self.expect(Kind::Bracket, ")")?;
        Ok(self.list(&ids))
    }

    /// `name(…)`; `first` is what a pipe brings.
    pub(super) fn call(&mut self, name: Token<'a>, first: Option<Id>) -> Outcome<Id> {
        if let Some(kind) = PredicateKind::of(name.text) {
            return self.predicate_call(kind, name, first);
        }
        let before = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        let arguments = self.arguments(first)?;
        if let Some(index) = crate::builtins::index(name.text) {
            return self.add(Node::Builtin { index, arguments }, name.start);
        }
        let local = self.slot(name.text);
        let id =
            self.add(Node::CallName { name: Self::text(&name), local, arguments }, name.start)?;
        self.unchecked.push((before, id));
        Ok(id)
    }

    pub(super) fn predicate_call(
        &mut self,
        kind: PredicateKind,
        name: Token<'a>,
        first: Option<Id>,
    ) -> Outcome<Id> {
        self.expect(Kind::Bracket, "(")?;
        let collection = match first {
            Some(id) => id,
            None => {
                let id = self.expression(0)?;
                if !(kind.predicate_is_optional() && self.is(Kind::Bracket, ")")) {
                    self.expect(Kind::Operator, ",")?;
                }
                id
            }
        };
        let predicate = if kind.predicate_is_optional() && self.is(Kind::Bracket, ")") {
            None
        } else {
            Some(self.predicate(collection)?)
        };
        let mut extra = None;
        if kind.has_extra() && self.take(Kind::Operator, ",")? && !self.is(Kind::Bracket, ")") {
            extra = Some(self.expression(0)?);
        }
        self.take(Kind::Operator, ",")?;
        self.expect(Kind::Bracket, ")")?;
        let call = PredicateCall { kind, collection, predicate, extra, mapped: None };
        self.add(Node::Predicate(call), name.start)
    }

    pub(super) fn predicate(&mut self, collection: Id) -> Outcome<Id> {
        let braces = self.take(Kind::Bracket, "{")?;
        self.predicates.push(collection);
        let body = if braces { self.sequence()? } else { self.expression(0)? };
        self.predicates.pop();
        if braces {
            self.expect(Kind::Bracket, "}")?;
        }
        Ok(body)
    }

    /// `.name`, `?.name`, `[key]`, `?.[key]`, `[from:to]`, `(…)`
    pub(super) fn postfix(&mut self, mut node: Id) -> Outcome<Id> {
        loop {
            let token = self.current;
            if token.is(Kind::Operator, ".") || token.is(Kind::Operator, "?.") {
                let optional = token.text == "?.";
                self.advance()?;
                if optional && self.is(Kind::Bracket, "[") {
                    node = self.bracket(node, true)?;
                    continue;
                }
                let name = self.current;
                let is_word = name.text.chars().all(|c| c.is_alphanumeric() || c == '_');
                if name.kind != Kind::Name && !(name.kind == Kind::Operator && is_word) {
                    return Err(self.error_at(&name, "expected name"));
                }
                self.advance()?;
                // A `.name` after a `?.` belongs to its chain: nil skips both.
                let inner = match self.nodes.get(node as usize) {
                    Some(Node::Chain(inner)) => Some(*inner),
                    _ => None,
                };
                let field = Node::Field {
                    object: inner.unwrap_or(node),
                    name: Self::text(&name),
                    optional,
                };
                node = self.add(field, name.start)?;
                if self.is(Kind::Bracket, "(") {
                    node = self.value_call(node, name.start)?;
                }
                if inner.is_some() || optional {
                    node = self.add(Node::Chain(node), name.start)?;
                }
            } else if token.is(Kind::Bracket, "[") {
                node = self.bracket(node, false)?;
            } else if token.is(Kind::Bracket, "(") {
                node = self.value_call(node, token.start)?;
            } else {
                return Ok(node);
            }
        }
    }

    pub(super) fn value_call(&mut self, callee: Id, position: u32) -> Outcome<Id> {
        let before = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        let arguments = self.arguments(None)?;
        let id = self.add(Node::Call { callee, arguments }, position)?;
        self.unchecked.push((before, id));
        Ok(id)
    }

    pub(super) fn bracket(&mut self, object: Id, optional: bool) -> Outcome<Id> {
        let position = self.current.start;
        let before = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        self.expect(Kind::Bracket, "[")?;
        if self.take(Kind::Operator, ":")? {
            let to = if self.is(Kind::Bracket, "]") { None } else { Some(self.expression(0)?) };
            self.expect(Kind::Bracket, "]")?;
            return self.add(Node::Slice { object, from: None, to }, position);
        }
        let key = self.expression(0)?;
        if self.take(Kind::Operator, ":")? {
            let to = if self.is(Kind::Bracket, "]") { None } else { Some(self.expression(0)?) };
            self.expect(Kind::Bracket, "]")?;
            return self.add(Node::Slice { object, from: Some(key), to }, position);
        }
        self.expect(Kind::Bracket, "]")?;
        let node = self.add(Node::Index { object, key, optional }, position)?;
        if matches!(self.nodes.get(object as usize), Some(Node::Environment)) {
            self.unchecked.push((before, node));
        }
        if optional { self.add(Node::Chain(node), position) } else { Ok(node) }
    }
}
