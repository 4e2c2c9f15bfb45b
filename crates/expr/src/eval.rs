//! The evaluator: walks the nodes, within a budget.

use crate::ast::{Ast, BinaryOp, Id, List, Node, Pointer, Text, UnaryOp};
use crate::budget::Budget;
use crate::env::Env;
use crate::error::{Error, Span, nearest};
use crate::function::{Function, FunctionError};
use crate::ops;
use crate::value::{Map, Value};

pub(crate) type Outcome = Result<Value, Error>;

/// What a predicate walks over, and where it is.
pub(crate) struct Scope {
    pub collection: Value,
    pub index: usize,
    pub accumulator: Value,
}

pub(crate) struct Machine<'a> {
    pub ast: &'a Ast,
    pub env: &'a Env,
    /// Functions that the place of use brings beside the environment's.
    functions: &'static [Function],
    pub budget: Budget,
    pub scopes: Vec<Scope>,
    locals: Vec<Value>,
    /// A `?.` met nil: its chain is being left.
    skipping: bool,
}

pub(crate) fn run(ast: &Ast, env: &Env, functions: &'static [Function], budget: Budget) -> Outcome {
    let mut machine = Machine {
        ast,
        env,
        functions,
        budget,
        scopes: Vec::new(),
        locals: Vec::new(),
        skipping: false,
    };
    machine.eval(ast.root)
}

impl Machine<'_> {
    pub(crate) fn eval(&mut self, id: Id) -> Outcome {
        match self.eval_node(id) {
            Err(error) if !error.has_span() => Err(self.locate(error, id)),
            outcome => outcome,
        }
    }

    #[inline(never)]
    fn locate(&self, error: Error, id: Id) -> Error {
        let start = self.ast.positions.get(id as usize).copied().unwrap_or(0);
        error.at(Span { start, end: start + 1 }, &self.ast.source)
    }

    fn eval_node(&mut self, id: Id) -> Outcome {
        self.budget.step()?;
        match self.ast.node(id) {
            Node::Constant(value) => Ok(value.clone()),
            Node::Name(name) => self.name(*name),
            Node::Local { slot, .. } => {
                Ok(self.locals.get(*slot as usize).cloned().unwrap_or_default())
            }
            Node::Environment => Ok(self.env.as_value()),
            Node::Pointer { pointer, .. } => self.pointer(*pointer),
            Node::Unary(op, operand) => self.unary(*op, *operand),
            Node::Binary(op, left, right) => self.binary(*op, *left, *right),
            Node::Field { object, name, optional } => self.field(*object, *name, *optional),
            Node::Index { object, key, optional } => self.index(*object, *key, *optional),
            Node::Slice { object, from, to } => self.slice(*object, *from, *to),
            Node::Chain(inner) => {
                let value = self.eval(*inner)?;
                let skipped = std::mem::take(&mut self.skipping);
                Ok(if skipped || value.is_nil() { Value::Nil } else { value })
            }
            Node::CallName { name, local, arguments } => self.call_name(*name, *local, *arguments),
            Node::Call { callee, arguments } => self.call_value(*callee, *arguments),
            Node::Builtin { index, arguments } => self.builtin(*index, *arguments),
            Node::Predicate(call) => crate::predicate::eval(self, *call),
            Node::Condition { condition, then, otherwise, .. } => {
                let condition = self.eval(*condition)?;
                let branch = if ops::to_bool(&condition)? { *then } else { *otherwise };
                self.eval(branch)
            }
            Node::Let { value, body, .. } => {
                let value = self.eval(*value)?;
                self.locals.push(value);
                let result = self.eval(*body);
                self.locals.pop();
                result
            }
            Node::Sequence(list) => {
                let mut last = Value::Nil;
                for id in self.ast.list(*list) {
                    last = self.eval(*id)?;
                }
                Ok(last)
            }
            Node::Array(list) => Ok(Value::from(self.values(*list)?)),
            Node::Map(list) => self.map(*list),
        }
    }

    #[inline(never)]
    fn values(&mut self, list: List) -> Result<Vec<Value>, Error> {
        let ids = self.ast.list(list);
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            values.push(self.eval(*id)?);
        }
        self.budget.grow(values.len())?;
        Ok(values)
    }

    #[inline(never)]
    fn map(&mut self, list: List) -> Outcome {
        let ids = self.ast.list(list);
        let mut map = Map::new();
        for pair in ids.chunks(2) {
            let [key, value] = pair else { continue };
            let name = self.eval(*key)?;
            let Value::String(name) = name else {
                return Err(self.locate(ops::not_a(&name, "string"), *key));
            };
            let value = self.eval(*value)?;
            // Of a key that is written twice the reference keeps the first.
            map.insert_new(name, value);
        }
        self.budget.grow(ids.len() / 2)?;
        Ok(map.into())
    }

    fn name(&self, name: Text) -> Outcome {
        let name = self.ast.text(name);
        match self.env.get(name) {
            Some(value) => Ok(value.clone()),
            None if self.env.is_nil() => Err(Error::run(format!("cannot fetch {name} from <nil>"))
                .with_hint(self.undefined(name))),
            None => Ok(Value::Nil),
        }
    }

    fn pointer(&self, pointer: Pointer) -> Outcome {
        let Some(scope) = self.scopes.last() else { return Ok(Value::Nil) };
        match pointer {
            Pointer::Item => crate::predicate::item(scope),
            Pointer::Index => Ok(Value::Int(i64::try_from(scope.index).unwrap_or(i64::MAX))),
            Pointer::Accumulator => Ok(scope.accumulator.clone()),
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: Id) -> Outcome {
        let value = self.eval(operand)?;
        match op {
            UnaryOp::Not => ops::to_bool(&value).map(|b| Value::Bool(!b)),
            UnaryOp::Minus => ops::negate(&value),
            UnaryOp::Plus => Ok(value),
        }
    }

    fn binary(&mut self, op: BinaryOp, left: Id, right: Id) -> Outcome {
        if !matches!(self.ast.node(left), Node::Binary(..)) {
            let left = self.eval(left)?;
            return self.apply(op, left, right);
        }
        self.spine(op, left, right)
    }

    /// A chain of operators, from its innermost left operand outwards, so
    /// that a long chain does not nest.
    #[inline(never)]
    fn spine(&mut self, op: BinaryOp, left: Id, right: Id) -> Outcome {
        let mut waiting = vec![(op, right, None)];
        let mut at = left;
        while let Node::Binary(op, left, right) = self.ast.node(at) {
            self.budget.step()?;
            waiting.push((*op, *right, Some(at)));
            at = *left;
        }
        let mut value = self.eval(at)?;
        while let Some((op, right, id)) = waiting.pop() {
            value = match self.apply(op, value, right) {
                Err(error) if !error.has_span() => {
                    return Err(match id {
                        Some(id) => self.locate(error, id),
                        None => error,
                    });
                }
                outcome => outcome?,
            };
        }
        Ok(value)
    }

    /// The operator on a left value and a right node, which `&&`, `||` and
    /// `??` may leave alone.
    fn apply(&mut self, op: BinaryOp, left: Value, right: Id) -> Outcome {
        match op {
            BinaryOp::And => {
                return if ops::to_bool(&left)? { self.eval(right) } else { Ok(left) };
            }
            BinaryOp::Or => {
                return if ops::to_bool(&left)? { Ok(left) } else { self.eval(right) };
            }
            BinaryOp::Coalesce => {
                return if left.is_nil() { self.eval(right) } else { Ok(left) };
            }
            _ => {}
        }
        let right = self.eval(right)?;
        self.operate(op, &left, &right)
    }

    fn operate(&mut self, op: BinaryOp, left: &Value, right: &Value) -> Outcome {
        match op {
            BinaryOp::Equal => Ok(Value::Bool(ops::equal(left, right))),
            BinaryOp::NotEqual => Ok(Value::Bool(!ops::equal(left, right))),
            BinaryOp::Less | BinaryOp::Greater | BinaryOp::LessEqual | BinaryOp::GreaterEqual => {
                ops::compare(op.text(), left, right)
            }
            BinaryOp::In => ops::contains(left, right).map(Value::Bool),
            BinaryOp::Matches => crate::pattern::matches(left, right),
            BinaryOp::Contains => text_test(left, right, |a, b| a.contains(b)),
            BinaryOp::StartsWith => text_test(left, right, |a, b| a.starts_with(b)),
            BinaryOp::EndsWith => text_test(left, right, |a, b| a.ends_with(b)),
            BinaryOp::Range => self.range(left, right),
            BinaryOp::Add => {
                if let (Value::String(a), Value::String(b)) = (left, right) {
                    self.budget.write(a.len() + b.len())?;
                }
                ops::add(left, right)
            }
            BinaryOp::Subtract => ops::subtract(left, right),
            BinaryOp::Multiply => ops::multiply(left, right),
            BinaryOp::Divide => ops::divide(left, right),
            BinaryOp::Modulo => ops::modulo(left, right),
            BinaryOp::Power => ops::power(left, right),
            // Decided in `apply`, which does not always look to the right.
            BinaryOp::And | BinaryOp::Or | BinaryOp::Coalesce => Ok(Value::Nil),
        }
    }

    #[inline(never)]
    fn range(&mut self, from: &Value, to: &Value) -> Outcome {
        let (from, to) = (ops::to_int(from)?, ops::to_int(to)?);
        let size = if from > to { 0 } else { to.abs_diff(from).saturating_add(1) };
        self.budget.grow(usize::try_from(size).unwrap_or(usize::MAX))?;
        Ok(Value::from((from..=to).map(Value::Int).collect::<Vec<_>>()))
    }

    fn field(&mut self, object: Id, name: Text, optional: bool) -> Outcome {
        let value = self.eval(object)?;
        if self.skipping {
            return Ok(value);
        }
        if optional && value.is_nil() {
            self.skipping = true;
            return Ok(Value::Nil);
        }
        let name = self.ast.text(name);
        if let Value::Map(map) = &value {
            return Ok(map.get(name).cloned().unwrap_or_else(|| map.missing()));
        }
        ops::fetch(&value, &Value::from(name)).map_err(|e| self.explain(e, object))
    }

    fn index(&mut self, object: Id, key: Id, optional: bool) -> Outcome {
        let value = self.eval(object)?;
        if self.skipping {
            return Ok(value);
        }
        if optional && value.is_nil() {
            self.skipping = true;
            return Ok(Value::Nil);
        }
        let key = self.eval(key)?;
        ops::fetch(&value, &key).map_err(|e| self.explain(e, object))
    }

    /// Says why an object was nil, where its name tells.
    #[inline(never)]
    fn explain(&self, error: Error, object: Id) -> Error {
        match self.ast.node(object) {
            Node::Name(name) if self.env.get(self.ast.text(*name)).is_none() => {
                error.with_hint(self.undefined(self.ast.text(*name)))
            }
            Node::Field { object, name, .. } => {
                let name = self.ast.text(*name);
                let parent = match self.ast.node(*object) {
                    Node::Name(parent) => self.env.get(self.ast.text(*parent)),
                    _ => None,
                };
                match parent.and_then(Value::as_map) {
                    Some(map) if !map.contains_key(name) => {
                        let near = nearest(name, map.iter().map(|(k, _)| k));
                        let near = near.map(|n| format!("; did you mean `{n}`?"));
                        error.with_hint(format!("`{name}` is not set{}", near.unwrap_or_default()))
                    }
                    _ => error,
                }
            }
            _ => error,
        }
    }

    /// A sentence on a name that is not defined.
    fn undefined(&self, name: &str) -> String {
        let mut known: Vec<&str> = self.env.variables().map(|(name, _)| name).collect();
        known.extend(self.env.functions().map(Function::name));
        for function in self.functions {
            known.push(function.name());
        }
        for builtin in crate::builtins::names() {
            known.push(builtin);
        }
        if let Some(near) = nearest(name, known.iter().copied()) {
            let call = match self.env.function(near) {
                Some(function) => function.signature(),
                None if self.env.get(near).is_some() => near.to_owned(),
                None => format!("{near}(...)"),
            };
            return format!("`{name}` is not defined; did you mean `{call}`?");
        }
        let names: Vec<&str> = self
            .env
            .variables()
            .map(|(name, _)| name)
            .chain(self.env.functions().map(Function::name))
            .take(40)
            .collect();
        if names.is_empty() {
            format!("`{name}` is not defined")
        } else {
            format!("`{name}` is not defined; defined here are {}", names.join(", "))
        }
    }

    #[inline(never)]
    fn slice(&mut self, object: Id, from: Option<Id>, to: Option<Id>) -> Outcome {
        let value = self.eval(object)?;
        let to = to.map(|id| self.eval(id)).transpose()?;
        let from = from.map(|id| self.eval(id)).transpose()?;
        let to = to.as_ref().map(ops::to_int).transpose()?;
        let from = from.as_ref().map(ops::to_int).transpose()?;
        let result = ops::slice(&value, from, to)?;
        self.budget.write(ops::length(&result).unwrap_or(0))?;
        Ok(result)
    }

    #[inline(never)]
    fn call_name(&mut self, name: Text, local: Option<u16>, arguments: List) -> Outcome {
        let env = self.env;
        let text = self.ast.text(name);
        let own = env.function(text);
        if let Some(function) = own.or_else(|| self.functions.iter().find(|f| f.name() == text)) {
            let arguments = self.values(arguments)?;
            return call(function, &arguments);
        }
        let callee = match local {
            Some(slot) => self.locals.get(slot as usize).cloned().unwrap_or_default(),
            None => env.get(text).cloned().unwrap_or_default(),
        };
        match &callee {
            Value::Function(function) => {
                let arguments = self.values(arguments)?;
                call(function, &arguments)
            }
            Value::Nil => {
                if env.is_nil() {
                    return Err(Error::run(format!("cannot fetch {text} from <nil>"))
                        .with_hint(self.undefined(text)));
                }
                self.values(arguments)?;
                Err(Error::run("invalid operation: cannot call nil")
                    .with_hint(self.undefined(text)))
            }
            other => Err(not_callable(other)),
        }
    }

    #[inline(never)]
    fn call_value(&mut self, callee: Id, arguments: List) -> Outcome {
        let callee = self.eval(callee)?;
        if self.skipping {
            return Ok(Value::Nil);
        }
        match &callee {
            Value::Function(function) => {
                let arguments = self.values(arguments)?;
                call(function, &arguments)
            }
            other => Err(not_callable(other)),
        }
    }

    #[inline(never)]
    fn builtin(&mut self, index: u16, arguments: List) -> Outcome {
        let ids = self.ast.list(arguments);
        match *ids {
            // The commonest case needs no list.
            [one] => {
                let argument = [self.eval(one)?];
                crate::builtins::call(index, &argument, &mut self.budget)
            }
            _ => {
                let mut values = Vec::with_capacity(ids.len());
                for id in ids {
                    values.push(self.eval(*id)?);
                }
                crate::builtins::call(index, &values, &mut self.budget)
            }
        }
    }
}

fn not_callable(value: &Value) -> Error {
    match value {
        Value::Nil => Error::run("invalid operation: cannot call nil"),
        other => Error::run(format!("invalid operation: cannot call {}", other.go_type())),
    }
}

fn call(function: &Function, arguments: &[Value]) -> Outcome {
    function.call(arguments).map_err(|error| match error {
        FunctionError::Failed(message) => Error::run(message),
        FunctionError::NeedsLookup(key) => Error::needs_lookup(key),
    })
}

/// `contains`, `startsWith`, `endsWith`: nil on either side gives false.
fn text_test(left: &Value, right: &Value, test: fn(&str, &str) -> bool) -> Outcome {
    if left.is_nil() || right.is_nil() {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(test(ops::to_str(left)?, ops::to_str(right)?)))
}
