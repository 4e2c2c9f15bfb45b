//! Tokens to nodes: precedence climbing over `expressions` 6.2.

mod calls;
mod operands;

use std::sync::Arc;

use crate::ast::{Ast, BinaryOp, Id, List, Node, Pointer, Text, UnaryOp};
use crate::error::{Error, Span};
use crate::lexer::{Kind, Lexer, Token};

/// How many nodes an expression may have.
pub(crate) const MAX_NODES: usize = 10_000;

/// How deep brackets, operands and branches may nest. A chain of operators
/// of one precedence counts once.
pub(crate) const MAX_DEPTH: u16 = 150;

type Outcome<T> = Result<T, Error>;

/// Parses a whole text.
pub(crate) fn parse(source: &Arc<str>) -> Result<Ast, Error> {
    let mut parser = Parser {
        source,
        lexer: Lexer::new(source),
        current: Token { kind: Kind::End, text: "", start: 0 },
        nodes: Vec::with_capacity(source.len() / 3 + 4),
        positions: Vec::with_capacity(source.len() / 3 + 4),
        heights: Vec::with_capacity(source.len() / 3 + 4),
        lists: Vec::new(),
        locals: Vec::new(),
        predicates: Vec::new(),
        unchecked: Vec::new(),
        depth: 0,
    };
    let root = parser.whole().map_err(|error| {
        let start = parser.current.start;
        error.at(Span { start, end: parser.current.end() }, source)
    })?;
    Ok(Ast {
        source: source.clone(),
        nodes: parser.nodes,
        positions: parser.positions,
        lists: parser.lists,
        root,
        unchecked: parser.unchecked,
    })
}

struct Parser<'a> {
    source: &'a Arc<str>,
    lexer: Lexer<'a>,
    current: Token<'a>,
    nodes: Vec<Node>,
    positions: Vec<u32>,
    heights: Vec<u16>,
    lists: Vec<Id>,
    locals: Vec<&'a str>,
    predicates: Vec<Id>,
    unchecked: Vec<(Id, Id)>,
    depth: u16,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Outcome<Id> {
        self.advance()?;
        let root = self.sequence()?;
        if self.current.kind != Kind::End {
            return Err(self.unexpected());
        }
        Ok(root)
    }

    fn advance(&mut self) -> Outcome<()> {
        let at = self.lexer.position();
        match self.lexer.next() {
            Ok(token) => {
                self.current = token;
                Ok(())
            }
            Err(error) => Err(error.at(Span { start: at, end: at + 1 }, self.source)),
        }
    }

    fn is(&self, kind: Kind, text: &str) -> bool {
        self.current.is(kind, text)
    }

    fn take(&mut self, kind: Kind, text: &str) -> Outcome<bool> {
        let found = self.is(kind, text);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: Kind, text: &str) -> Outcome<()> {
        if self.take(kind, text)? { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Error {
        Error::compile(format!("unexpected token {}", self.current))
            .at(Span { start: self.current.start, end: self.current.end() }, self.source)
    }

    fn error_at(&self, token: &Token<'_>, message: impl Into<String>) -> Error {
        Error::compile(message).at(Span { start: token.start, end: token.end() }, self.source)
    }

    fn text(token: &Token<'_>) -> Text {
        Text { start: token.start, end: token.end() }
    }

    fn height(&self, id: Id) -> u16 {
        self.heights.get(id as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, node: Node, position: u32) -> Outcome<Id> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::compile(
                "compilation failed: expression exceeds maximum allowed nodes",
            ));
        }
        let height = self.node_height(&node);
        if height > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let id = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        self.nodes.push(node);
        self.positions.push(position);
        self.heights.push(height);
        Ok(id)
    }

    /// How deep the evaluation of a node nests. The left side of an operator
    /// is walked without nesting.
    fn node_height(&self, node: &Node) -> u16 {
        let one = |id: &Id| self.height(*id) + 1;
        let list = |list: &List| {
            let start = list.start as usize;
            let ids = self.lists.get(start..start + list.len as usize).unwrap_or(&[]);
            ids.iter().map(one).max().unwrap_or(1)
        };
        match node {
            Node::Constant(_)
            | Node::Name(_)
            | Node::Local { .. }
            | Node::Environment
            | Node::Pointer { .. } => 1,
            Node::Unary(_, a) | Node::Chain(a) => one(a),
            Node::Field { object, .. } => one(object),
            Node::Binary(_, a, b) => {
                let left = if matches!(self.nodes.get(*a as usize), Some(Node::Binary(..))) {
                    self.height(*a)
                } else {
                    one(a)
                };
                left.max(one(b))
            }
            Node::Index { object, key, .. } => one(object).max(one(key)),
            Node::Slice { object, from, to } => {
                let ends = from.iter().chain(to).map(one).max().unwrap_or(0);
                one(object).max(ends)
            }
            Node::CallName { arguments, .. } | Node::Builtin { arguments, .. } => list(arguments),
            Node::Call { callee, arguments } => one(callee).max(list(arguments)),
            Node::Predicate(call) => {
                let others = call.predicate.iter().chain(&call.extra).map(one).max();
                one(&call.collection).max(others.unwrap_or(0))
            }
            Node::Condition { condition, then, otherwise, .. } => {
                one(condition).max(one(then)).max(one(otherwise))
            }
            Node::Let { value, body, .. } => one(value).max(one(body)),
            Node::Sequence(items) | Node::Array(items) | Node::Map(items) => list(items),
        }
    }

    fn too_deep(&self) -> Error {
        Error::compile(format!("expression nests deeper than {MAX_DEPTH} levels"))
    }

    fn list(&mut self, ids: &[Id]) -> List {
        let start = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        self.lists.extend_from_slice(ids);
        List { start, len: u32::try_from(ids.len()).unwrap_or(u32::MAX) }
    }

    /// `a; b; c`
    fn sequence(&mut self) -> Outcome<Id> {
        let position = self.current.start;
        let first = self.expression(0)?;
        if !self.is(Kind::Operator, ";") {
            return Ok(first);
        }
        let mut ids = vec![first];
        while self.take(Kind::Operator, ";")? {
            if self.current.kind == Kind::End {
                break;
            }
            ids.push(self.expression(0)?);
        }
        if ids.len() == 1 {
            return Ok(first);
        }
        let list = self.list(&ids);
        self.add(Node::Sequence(list), position)
    }

    fn expression(&mut self, precedence: u16) -> Outcome<Id> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let result = self.expression_inside(precedence);
        self.depth -= 1;
        result
    }

    fn expression_inside(&mut self, precedence: u16) -> Outcome<Id> {
        if precedence == 0 && self.is(Kind::Operator, "let") {
            return self.declaration();
        }
        if precedence == 0 && self.is(Kind::Operator, "if") {
            return self.if_else();
        }
        let mut left = self.primary()?;
        let mut previous = "";
        while self.current.kind == Kind::Operator {
            let mut operator = self.current;
            let negated = operator.text == "not";
            if negated {
                let back = (self.lexer, self.current);
                self.advance()?;
                let suffix = self.current;
                let allowed = matches!(
                    suffix.text,
                    "in" | "matches" | "contains" | "startsWith" | "endsWith"
                );
                if suffix.kind != Kind::Operator || !allowed {
                    return Err(self.unexpected());
                }
                if precedence > 20 {
                    (self.lexer, self.current) = back;
                    break;
                }
                operator = suffix;
            }
            if operator.text == "|" {
                if precedence > 0 {
                    break;
                }
                self.advance()?;
                left = self.pipe(left)?;
                previous = operator.text;
                continue;
            }
            let Some((op, op_precedence)) = BinaryOp::of(operator.text) else { break };
            if op_precedence < precedence {
                break;
            }
            self.advance()?;
            if previous == "??" && operator.text != "??" {
                return Err(self.error_at(&operator, format!(
                    "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                    operator.text
                )));
            }
            left = if op.is_ordering() {
                self.comparison(left, operator, op, op_precedence)?
            } else {
                let right = self.expression(op_precedence + u16::from(op != BinaryOp::Power))?;
                let node = self.add(Node::Binary(op, left, right), operator.start)?;
                if negated {
                    self.add(Node::Unary(UnaryOp::Not, node), operator.start)?
                } else {
                    node
                }
            };
            previous = operator.text;
        }
        if precedence == 0 { self.conditional(left) } else { Ok(left) }
    }

    /// `a < b <= c`
    fn comparison(
        &mut self,
        mut left: Id,
        mut operator: Token<'a>,
        mut op: BinaryOp,
        precedence: u16,
    ) -> Outcome<Id> {
        let mut root = None;
        loop {
            let right = self.expression(precedence + 1)?;
            let node = self.add(Node::Binary(op, left, right), operator.start)?;
            root = Some(match root {
                None => node,
                Some(before) => {
                    self.add(Node::Binary(BinaryOp::And, before, node), operator.start)?
                }
            });
            left = right;
            operator = self.current;
            match BinaryOp::of(operator.text) {
                Some((next, _)) if operator.kind == Kind::Operator && next.is_ordering() => {
                    op = next;
                    self.advance()?;
                }
                _ => return Ok(root.unwrap_or(node)),
            }
        }
    }

    /// `c ? a : b` and `c ?: b`
    fn conditional(&mut self, mut condition: Id) -> Outcome<Id> {
        while self.is(Kind::Operator, "?") {
            let position = self.current.start;
            self.advance()?;
            let then = if self.is(Kind::Operator, ":") { condition } else { self.expression(0)? };
            self.expect(Kind::Operator, ":")?;
            let otherwise = self.expression(0)?;
            let node = Node::Condition { condition, then, otherwise, is_if: false };
            condition = self.add(node, position)?;
        }
        Ok(condition)
    }

    /// `let x = a; b`
    fn declaration(&mut self) -> Outcome<Id> {
        self.expect(Kind::Operator, "let")?;
        let name = self.current;
        if name.kind != Kind::Name {
            return Err(self.unexpected());
        }
        self.advance()?;
        self.expect(Kind::Operator, "=")?;
        let value = self.expression(0)?;
        self.expect(Kind::Operator, ";")?;
        let slot = u16::try_from(self.locals.len()).unwrap_or(u16::MAX);
        let redeclared = self.locals.contains(&name.text);
        self.locals.push(name.text);
        let body = self.sequence()?;
        self.locals.pop();
        let node = Node::Let { slot, name: Self::text(&name), value, body, redeclared };
        self.add(node, name.start)
    }

    /// `if c { a } else { b }`
    fn if_else(&mut self) -> Outcome<Id> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let position = self.current.start;
        self.expect(Kind::Operator, "if")?;
        let condition = self.expression(0)?;
        self.expect(Kind::Bracket, "{")?;
        let then = self.sequence()?;
        self.expect(Kind::Bracket, "}")?;
        self.expect(Kind::Operator, "else")?;
        let otherwise = if self.is(Kind::Operator, "if") {
            self.if_else()?
        } else {
            self.expect(Kind::Bracket, "{")?;
            let id = self.sequence()?;
            self.expect(Kind::Bracket, "}")?;
            id
        };
        self.depth -= 1;
        self.add(Node::Condition { condition, then, otherwise, is_if: true }, position)
    }

    fn pipe(&mut self, left: Id) -> Outcome<Id> {
        let name = self.current;
        if name.kind != Kind::Name {
            return Err(self.unexpected());
        }
        self.advance()?;
        let call = self.call(name, Some(left))?;
        self.postfix(call)
    }

    fn primary(&mut self) -> Outcome<Id> {
        let token = self.current;
        match token.kind {
            Kind::Operator => {
                let unary = match token.text {
                    "not" | "!" => Some((UnaryOp::Not, 50)),
                    "-" => Some((UnaryOp::Minus, 90)),
                    "+" => Some((UnaryOp::Plus, 90)),
                    _ => None,
                };
                if let Some((op, precedence)) = unary {
                    self.advance()?;
                    let operand = self.expression(precedence)?;
                    let node = self.add(Node::Unary(op, operand), token.start)?;
                    return self.postfix(node);
                }
                if let Some(collection) = self.predicates.last().copied() {
                    if token.text == "#" {
                        self.advance()?;
                        let pointer = self.pointer(token)?;
                        let node = Node::Pointer { pointer, collection };
                        let node = self.add(node, token.start)?;
                        return self.postfix(node);
                    }
                    if token.text == "." {
                        let node = Node::Pointer { pointer: Pointer::Item, collection };
                        let node = self.add(node, token.start)?;
                        return self.postfix(node);
                    }
                }
                Err(self.unexpected())
            }
            Kind::Bracket if token.text == "(" => {
                self.advance()?;
                let inside = self.sequence()?;
                self.expect(Kind::Bracket, ")")?;
                self.postfix(inside)
            }
            _ => {
                let node = self.secondary()?;
                self.postfix(node)
            }
        }
    }

    fn pointer(&mut self, hash: Token<'a>) -> Outcome<Pointer> {
        let name = self.current;
        if name.kind != Kind::Name || name.start != hash.end() {
            return Ok(Pointer::Item);
        }
        let pointer = match name.text {
            "index" => Pointer::Index,
            "acc" => Pointer::Accumulator,
            other => return Err(self.error_at(&name, format!("unknown pointer #{other}"))),
        };
        self.advance()?;
        Ok(pointer)
    }
}
