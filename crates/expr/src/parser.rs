//! Tokens to nodes: precedence climbing over `expressions` 6.2.

use std::sync::Arc;

use crate::ast::{
    Ast, BinaryOp, Id, List, Node, Pointer, PredicateCall, PredicateKind, Text, UnaryOp,
};
use crate::error::{Error, Span};
use crate::lexer::{Kind, Lexer, Token, unquote};
use crate::value::Value;

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

    fn secondary(&mut self) -> Outcome<Id> {
        let token = self.current;
        let constant = match token.kind {
            Kind::Name => {
                self.advance()?;
                match token.text {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "nil" => Value::Nil,
                    _ if self.is(Kind::Bracket, "(") => return self.call(token, None),
                    "$env" => return self.add(Node::Environment, token.start),
                    name => {
                        let text = Self::text(&token);
                        let node = match self.slot(name) {
                            Some(slot) => Node::Local { slot, name: text },
                            None => Node::Name(text),
                        };
                        return self.add(node, token.start);
                    }
                }
            }
            Kind::Number => {
                let value = number(token.text).map_err(|e| self.error_at(&token, e))?;
                self.advance()?;
                value
            }
            Kind::Text => {
                let bytes = self.unquoted(&token)?;
                self.advance()?;
                Value::String(String::from_utf8_lossy(&bytes).into())
            }
            Kind::Bytes => {
                let bytes = self.unquoted(&token)?;
                self.advance()?;
                Value::Bytes(bytes.into())
            }
            Kind::Bracket if token.text == "[" => return self.array(),
            Kind::Bracket if token.text == "{" => return self.map(),
            _ => return Err(self.unexpected()),
        };
        self.add(Node::Constant(constant), token.start)
    }

    fn unquoted(&self, token: &Token<'_>) -> Outcome<Vec<u8>> {
        unquote(token.text)
            .map_err(|e| e.at(Span { start: token.start, end: token.end() }, self.source))
    }

    fn slot(&self, name: &str) -> Option<u16> {
        self.locals.iter().rposition(|l| *l == name).and_then(|i| u16::try_from(i).ok())
    }

    fn array(&mut self) -> Outcome<Id> {
        let position = self.current.start;
        self.expect(Kind::Bracket, "[")?;
        let mut ids = Vec::new();
        while !self.is(Kind::Bracket, "]") {
            if !ids.is_empty() {
                self.expect(Kind::Operator, ",")?;
                if self.is(Kind::Bracket, "]") {
                    break;
                }
            }
            ids.push(self.expression(0)?);
        }
        self.expect(Kind::Bracket, "]")?;
        let list = self.list(&ids);
        self.add(Node::Array(list), position)
    }

    fn map(&mut self) -> Outcome<Id> {
        let position = self.current.start;
        self.expect(Kind::Bracket, "{")?;
        let mut ids = Vec::new();
        while !self.is(Kind::Bracket, "}") {
            if !ids.is_empty() {
                self.expect(Kind::Operator, ",")?;
                if self.is(Kind::Bracket, "}") {
                    break;
                }
                if self.is(Kind::Operator, ",") {
                    return Err(self.unexpected());
                }
            }
            let token = self.current;
            let key = match token.kind {
                Kind::Name | Kind::Number => {
                    self.advance()?;
                    self.add(Node::Constant(token.text.into()), token.start)?
                }
                Kind::Text => self.secondary()?,
                Kind::Bracket if token.text == "(" => self.expression(0)?,
                _ => {
                    return Err(self.error_at(&token, format!(
                        "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses (unexpected token {token})"
                    )));
                }
            };
            self.expect(Kind::Operator, ":")?;
            let value = self.expression(0)?;
            ids.extend([key, value]);
        }
        self.expect(Kind::Bracket, "}")?;
        let list = self.list(&ids);
        self.add(Node::Map(list), position)
    }

    fn arguments(&mut self, first: Option<Id>) -> Outcome<List> {
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
    fn call(&mut self, name: Token<'a>, first: Option<Id>) -> Outcome<Id> {
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

    fn predicate_call(
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

    fn predicate(&mut self, collection: Id) -> Outcome<Id> {
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
    fn postfix(&mut self, mut node: Id) -> Outcome<Id> {
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

    fn value_call(&mut self, callee: Id, position: u32) -> Outcome<Id> {
        let before = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        let arguments = self.arguments(None)?;
        let id = self.add(Node::Call { callee, arguments }, position)?;
        self.unchecked.push((before, id));
        Ok(id)
    }

    fn bracket(&mut self, object: Id, optional: bool) -> Outcome<Id> {
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

fn number(text: &str) -> Result<Value, String> {
    let clean: std::borrow::Cow<'_, str> =
        if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    let lower = clean.as_bytes().get(1).map(u8::to_ascii_lowercase);
    let radix = match (clean.as_bytes().first(), lower) {
        (Some(b'0'), Some(b'x')) => Some(16),
        (Some(b'0'), Some(b'o')) => Some(8),
        (Some(b'0'), Some(b'b')) => Some(2),
        _ => None,
    };
    let quoted = crate::gotext::quote(text);
    if let Some(radix) = radix {
        return i64::from_str_radix(clean.get(2..).unwrap_or(""), radix)
            .map(Value::Int)
            .map_err(|_| invalid_integer(&quoted));
    }
    if clean.contains(['.', 'e', 'E']) {
        return match clean.parse::<f64>() {
            Ok(f) if f.is_finite() => Ok(Value::Float(f)),
            Ok(_) => Err(format!(
                "invalid float literal: strconv.ParseFloat: parsing {quoted}: value out of range"
            )),
            Err(_) => Err(format!(
                "invalid float literal: strconv.ParseFloat: parsing {quoted}: invalid syntax"
            )),
        };
    }
    clean.parse().map(Value::Int).map_err(|_| invalid_integer(&quoted))
}

fn invalid_integer(quoted: &str) -> String {
    format!("invalid integer literal: strconv.ParseInt: parsing {quoted}: value out of range")
}
