//! The operators over values (`expressions` 6.3 and 6.4).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::Error;
use crate::value::Value;

type Outcome = Result<Value, Error>;

/// A number as the operators see it.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

#[allow(clippy::cast_possible_wrap)]
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(i) => Some(Number::Int(*i)),
        Value::Uint(u) => Some(Number::Int(*u as i64)),
        Value::Float(f) => Some(Number::Float(*f)),
        Value::Object(object) => object.as_int().map(Number::Int),
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)]
impl Number {
    fn float(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }
}

pub(crate) fn time_of(value: &Value) -> Option<Arc<jiff::Zoned>> {
    match value {
        Value::Time(time) => Some(time.clone()),
        Value::Object(object) => object.as_time(),
        _ => None,
    }
}

/// The operator `==`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Value::Int(a), Value::Int(b)) => a == b,
        _ => {
            if let (Some(a), Some(b)) = (number(a), number(b)) {
                return match (a, b) {
                    (Number::Int(a), Number::Int(b)) => a == b,
                    (a, b) => a.float() == b.float(),
                };
            }
            if let (Some(a), Some(b)) = (time_of(a), time_of(b)) {
                return a.timestamp() == b.timestamp();
            }
            if a.is_nil() || b.is_nil() {
                return a.is_nil() && b.is_nil();
            }
            identical(a, b)
        }
    }
}

/// Equality inside of maps: also the types must be the same.
fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Nil, Value::Nil) | (Value::NilArray, Value::NilArray) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Uint(a), Value::Uint(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| identical(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            Arc::ptr_eq(a, b)
                || (a.kind() == b.kind()
                    && a.is_nil() == b.is_nil()
                    && a.len() == b.len()
                    && a.iter()
                        .zip(b.iter())
                        .all(|((ka, va), (kb, vb))| ka == kb && identical(va, vb)))
        }
        (Value::Table(a), Value::Table(b)) => {
            a.len() == b.len()
                && a.go_type() == b.go_type()
                && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| identical(v, w)))
        }
        (Value::Time(a), Value::Time(b)) => a.timestamp() == b.timestamp(),
        (Value::Object(a), Value::Object(b)) => {
            Arc::ptr_eq(a, b)
                || (a.type_name() == b.type_name()
                    && matches!((a.to_json(), b.to_json()), (Ok(a), Ok(b)) if a == b))
        }
        (Value::Function(a), Value::Function(b)) => a.same(b),
        _ => false,
    }
}

/// The order of two values, none where `<` is not defined for them. A NaN is
/// neither below nor above, which callers see as `Equal` of nothing.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => return Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Duration(a), Value::Duration(b)) => return Some(a.cmp(b)),
        _ => {}
    }
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Some(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a.cmp(&b),
            (a, b) => a.float().partial_cmp(&b.float()).unwrap_or(Ordering::Equal),
        });
    }
    let (a, b) = (time_of(a)?, time_of(b)?);
    Some(a.timestamp().cmp(&b.timestamp()))
}

/// `<`, `>`, `<=`, `>=`.
pub(crate) fn compare(op: &str, a: &Value, b: &Value) -> Outcome {
    let unordered = matches!((number(a), number(b)), (Some(a), Some(b)) if a.float().is_nan() || b.float().is_nan());
    let order = order(a, b).ok_or_else(|| invalid(op, a, b))?;
    Ok(Value::Bool(
        !unordered
            && match op {
                "<" => order.is_lt(),
                ">" => order.is_gt(),
                "<=" => order.is_le(),
                _ => order.is_ge(),
            },
    ))
}

pub(crate) fn invalid(op: &str, a: &Value, b: &Value) -> Error {
    Error::run(format!("invalid operation: {} {op} {}", a.go_type(), b.go_type()))
}

/// `+`.
pub(crate) fn add(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => return Ok(Value::Int(a.wrapping_add(*b))),
        (Value::String(a), Value::String(b)) => {
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            return Ok(Value::String(text.into()));
        }
        (Value::Duration(a), Value::Duration(b)) => {
            return Ok(Value::Duration(a.wrapping_add(*b)));
        }
        _ => {}
    }
    match (number(a), number(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Value::Int(a.wrapping_add(b))),
        (Some(a), Some(b)) => Ok(Value::Float(a.float() + b.float())),
        _ => match (time_of(a), time_of(b), a, b) {
            (Some(time), _, _, Value::Duration(d)) | (_, Some(time), Value::Duration(d), _) => {
                crate::time::shift(&time, *d)
            }
            _ => Err(invalid("+", a, b)),
        },
    }
}

/// Binary `-`.
pub(crate) fn subtract(a: &Value, b: &Value) -> Outcome {
    match (number(a), number(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Value::Int(a.wrapping_sub(b))),
        (Some(a), Some(b)) => Ok(Value::Float(a.float() - b.float())),
        _ => match (time_of(a), time_of(b), a, b) {
            (Some(a), Some(b), _, _) => Ok(Value::Duration(crate::time::between(&b, &a))),
            (Some(time), _, _, Value::Duration(d)) => crate::time::shift(&time, d.wrapping_neg()),
            (_, _, Value::Duration(a), Value::Duration(b)) => {
                Ok(Value::Duration(a.wrapping_sub(*b)))
            }
            _ => Err(invalid("-", a, b)),
        },
    }
}

/// `*`.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn multiply(a: &Value, b: &Value) -> Outcome {
    match (number(a), number(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => return Ok(Value::Int(a.wrapping_mul(b))),
        (Some(a), Some(b)) => return Ok(Value::Float(a.float() * b.float())),
        _ => {}
    }
    let (duration, factor) = match (a, b) {
        (Value::Duration(a), Value::Duration(b)) => {
            return Ok(Value::Duration(a.wrapping_mul(*b)));
        }
        (Value::Duration(d), other) | (other, Value::Duration(d)) => (*d, number(other)),
        _ => return Err(invalid("*", a, b)),
    };
    match factor {
        Some(Number::Int(n)) => Ok(Value::Duration(duration.wrapping_mul(n))),
        Some(Number::Float(f)) => Ok(Value::Float(duration as f64 * f)),
        None => Err(invalid("*", a, b)),
    }
}

/// `/`, always a float.
pub(crate) fn divide(a: &Value, b: &Value) -> Outcome {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Ok(Value::Float(a.float() / b.float())),
        _ => Err(invalid("/", a, b)),
    }
}

/// `%`, of whole numbers only.
pub(crate) fn modulo(a: &Value, b: &Value) -> Outcome {
    match (number(a), number(b)) {
        (Some(Number::Int(_)), Some(Number::Int(0))) => {
            Err(Error::run("runtime error: integer divide by zero"))
        }
        (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Value::Int(a.wrapping_rem(b))),
        _ => Err(invalid("%", a, b)),
    }
}

/// `**` and `^`, always a float.
pub(crate) fn power(a: &Value, b: &Value) -> Outcome {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Ok(Value::Float(pow(a.float(), b.float()))),
        (None, _) => Err(Error::run(format!("invalid operation: float({})", a.go_type()))),
        _ => Err(Error::run(format!("invalid operation: float({})", b.go_type()))),
    }
}

/// Powers as Go's library rounds them: the whole part of the exponent by
/// squaring, its fraction by `exp` and `ln`.
fn pow(x: f64, y: f64) -> f64 {
    if y.abs() == 0.5 && x > 0.0 {
        return if y > 0.0 { x.sqrt() } else { 1.0 / x.sqrt() };
    }
    let plain = x.powf(y);
    if x == 0.0 || !plain.is_finite() || plain == 0.0 || !y.is_finite() || y.abs() > 1024.0 {
        return plain;
    }
    let mut rest = y.abs().trunc();
    let mut fraction = y.abs().fract();
    let mut result = 1.0;
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            rest += 1.0;
        }
        result = (fraction * x.ln()).exp();
    }
    let mut base = x;
    while rest >= 1.0 {
        if rest % 2.0 == 1.0 {
            result *= base;
        }
        base *= base;
        rest = (rest / 2.0).floor();
    }
    let result = if y < 0.0 { 1.0 / result } else { result };
    if result.is_finite() && result != 0.0 { result } else { plain }
}

/// Unary `-`.
pub(crate) fn negate(a: &Value) -> Outcome {
    match (number(a), a) {
        (Some(Number::Int(i)), _) => Ok(Value::Int(i.wrapping_neg())),
        (Some(Number::Float(f)), _) => Ok(Value::Float(-f)),
        (None, Value::Duration(d)) => Ok(Value::Duration(d.wrapping_neg())),
        _ => Err(Error::run(format!("invalid operation: - {}", a.go_type()))),
    }
}

/// A float as a whole number, cut; what 64 bits cannot hold (NaN too) is the
/// least number, as the reference's processor has it.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn truncate(f: f64) -> i64 {
    if f.is_nan() || f >= 9_223_372_036_854_775_808.0 { i64::MIN } else { f as i64 }
}

/// A whole number for an index or a range: floats are truncated.
pub(crate) fn to_int(value: &Value) -> Result<i64, Error> {
    match number(value) {
        Some(Number::Int(i)) => Ok(i),
        Some(Number::Float(f)) => Ok(truncate(f)),
        None => Err(Error::run(format!("invalid operation: int({})", value.go_type()))),
    }
}

/// The truth value of a condition.
pub(crate) fn to_bool(value: &Value) -> Result<bool, Error> {
    match value {
        Value::Bool(b) => Ok(*b),
        _ => Err(not_a(value, "bool")),
    }
}

/// Go's words for a value that is not of the type that an operator needs.
pub(crate) fn not_a(value: &Value, wanted: &str) -> Error {
    Error::run(match value {
        Value::Nil => format!("interface conversion: interface {{}} is nil, not {wanted}"),
        _ => format!("interface conversion: interface {{}} is {}, not {wanted}", value.go_type()),
    })
}

/// The operand of `matches`, `contains`, `startsWith`, `endsWith`.
pub(crate) fn to_str(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| not_a(value, "string"))
}

/// Where `index` lies in a list of `len`, counted from the end when negative.
pub(crate) fn position(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = if index < 0 { len.checked_add(index)? } else { index };
    if at < 0 || at >= len { None } else { usize::try_from(at).ok() }
}

/// The element of something that has elements by position; none when it has
/// not, an error in the second place when it is out of range.
pub(crate) fn element(from: &Value, index: usize) -> Option<Value> {
    match from {
        Value::Array(items) => items.get(index).cloned(),
        Value::String(s) => s.as_bytes().get(index).map(|b| Value::Uint((*b).into())),
        Value::Bytes(bytes) => bytes.get(index).map(|b| Value::Uint((*b).into())),
        _ => None,
    }
}

/// How many elements something has; text is counted in bytes.
pub(crate) fn length(value: &Value) -> Option<usize> {
    Some(match value {
        Value::Array(items) => items.len(),
        Value::NilArray => 0,
        Value::String(s) => s.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Map(map) => map.len(),
        Value::Table(table) => table.len(),
        _ => return None,
    })
}

fn not_a_key(key: &Value) -> Error {
    Error::run(format!(
        "reflect.Value.MapIndex: value of type {} is not assignable to type string",
        key.go_type()
    ))
}

/// `from.key` and `from[key]`.
pub(crate) fn fetch(from: &Value, key: &Value) -> Outcome {
    match (from, key) {
        (Value::Map(map), Value::String(name)) => {
            Ok(map.get(name).cloned().unwrap_or_else(|| map.missing()))
        }
        (Value::Map(map), Value::Nil) => Ok(map.get("").cloned().unwrap_or_else(|| map.missing())),
        (Value::Map(_), _) => Err(not_a_key(key)),
        (Value::Array(_) | Value::NilArray | Value::String(_) | Value::Bytes(_), _) => {
            let index = to_int(key)?;
            let len = length(from).unwrap_or(0);
            position(index, len).and_then(|at| element(from, at)).ok_or_else(|| {
                let index = if index < 0 {
                    index.saturating_add(i64::try_from(len).unwrap_or(i64::MAX))
                } else {
                    index
                };
                Error::run(format!("index out of range: {index} (array length is {len})"))
            })
        }
        (Value::Table(table), _) => {
            if !crate::table::Table::is_hashable(key) {
                return Err(unhashable(key));
            }
            Ok(table.get(key).cloned().unwrap_or_else(|| table.missing()))
        }
        (Value::Object(object), Value::String(name)) => match object.field(name) {
            Some(value) => Ok(value),
            None => {
                if let Some(time) = object.as_time()
                    && let Some(method) = crate::time::method(&time, name)
                {
                    return Ok(method);
                }
                let error = Error::run(format!("type {} has no field {name}", object.type_name()));
                let names = object.field_names();
                Err(match crate::error::nearest(name, names.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                    None => error.with_hint(format!("it has {}", names.join(", "))),
                })
            }
        },
        (Value::Time(time), Value::String(name)) => crate::time::method(time, name)
            .ok_or_else(|| Error::run(format!("type time.Time has no method {name}"))),
        (Value::Duration(d), Value::String(name)) => crate::time::duration_method(*d, name)
            .ok_or_else(|| Error::run(format!("type time.Duration has no method {name}"))),
        _ => Err(Error::run(format!("cannot fetch {} from {}", key.to_text(), from.go_type()))),
    }
}

pub(crate) fn unhashable(key: &Value) -> Error {
    Error::run(format!("runtime error: hash of unhashable type {}", key.go_type()))
}

/// The built-in `get`: nil where [`fetch`] errs for a missing key or index.
pub(crate) fn get(from: &Value, key: &Value) -> Outcome {
    match from {
        Value::Map(map) => match key {
            Value::String(name) => Ok(map.get(name).cloned().unwrap_or_default()),
            Value::Nil => Ok(map.get("").cloned().unwrap_or_default()),
            _ => fetch(from, key),
        },
        Value::Table(table) if crate::table::Table::is_hashable(key) => {
            Ok(table.get(key).cloned().unwrap_or_default())
        }
        Value::Array(_) | Value::NilArray | Value::String(_) | Value::Bytes(_) => {
            let index = to_int(key)?;
            let len = length(from).unwrap_or(0);
            Ok(position(index, len).and_then(|at| element(from, at)).unwrap_or_default())
        }
        Value::Object(object) => {
            Ok(key.as_str().and_then(|name| object.field(name)).unwrap_or_default())
        }
        Value::Table(_) => Err(unhashable(key)),
        _ => Ok(Value::Nil),
    }
}

/// `array[from:to]`, clamped.
pub(crate) fn slice(value: &Value, from: Option<i64>, to: Option<i64>) -> Outcome {
    let len = match value {
        Value::Map(_) | Value::Table(_) => None,
        _ => length(value),
    };
    let Some(len) = len else {
        return Err(Error::run(format!("cannot slice {}", value.to_text())));
    };
    let clamp = |index: i64| -> usize {
        let signed = i64::try_from(len).unwrap_or(i64::MAX);
        let index = if index < 0 { signed.saturating_add(index).max(0) } else { index };
        usize::try_from(index.min(signed)).unwrap_or(len)
    };
    let end = to.map_or(len, clamp);
    let start = from.map_or(0, clamp).min(end);
    Ok(match value {
        Value::Array(items) => Value::from(items.get(start..end).unwrap_or(&[]).to_vec()),
        Value::String(s) => {
            let bytes = s.as_bytes().get(start..end).unwrap_or(&[]);
            Value::String(String::from_utf8_lossy(bytes).into())
        }
        Value::Bytes(bytes) => Value::Bytes(bytes.get(start..end).unwrap_or(&[]).into()),
        _ => Value::NilArray,
    })
}

/// `needle in haystack`.
pub(crate) fn contains(needle: &Value, haystack: &Value) -> Result<bool, Error> {
    match haystack {
        Value::Nil | Value::NilArray => Ok(false),
        Value::Array(items) => Ok(items.iter().any(|item| equal(item, needle))),
        Value::Bytes(bytes) => Ok(bytes.iter().any(|b| equal(&Value::Uint((*b).into()), needle))),
        Value::Map(map) => match needle {
            Value::String(name) => Ok(map.contains_key(name)),
            Value::Nil => Ok(map.contains_key("")),
            _ => Err(not_a_key(needle)),
        },
        Value::Table(table) => {
            if crate::table::Table::is_hashable(needle) {
                Ok(table.get(needle).is_some())
            } else {
                Err(unhashable(needle))
            }
        }
        Value::Object(object) => match needle {
            Value::String(name) => Ok(object.field(name).is_some()),
            _ => Err(not_a(needle, "string")),
        },
        Value::Time(_) => match needle {
            // A time has methods and no fields.
            Value::String(_) => Ok(false),
            _ => Err(Error::run(format!(
                "cannot use {} as field name of {}",
                needle.go_type(),
                haystack.go_type()
            ))),
        },
        _ => Err(Error::run(format!("operator \"in\" not defined on {}", haystack.go_type()))),
    }
}
