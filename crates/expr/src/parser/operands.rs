//! Operands: names, literals, lists and maps.

use super::{Outcome, Parser};
use crate::ast::{Id, Node};
use crate::error::Span;
use crate::lexer::{Kind, Token, unquote};
use crate::value::Value;

impl Parser<'_> {
    pub(super) fn secondary(&mut self) -> Outcome<Id> {
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

    pub(super) fn unquoted(&self, token: &Token<'_>) -> Outcome<Vec<u8>> {
        unquote(token.text)
            .map_err(|e| e.at(Span { start: token.start, end: token.end() }, self.source))
    }

    pub(super) fn slot(&self, name: &str) -> Option<u16> {
        self.locals.iter().rposition(|l| *l == name).and_then(|i| u16::try_from(i).ok())
    }

    pub(super) fn array(&mut self) -> Outcome<Id> {
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

    pub(super) fn map(&mut self) -> Outcome<Id> {
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
