//! An expression language: lexer, parser, compiler, evaluator, built-ins and
//! `${{ }}` templates.
//!
//! * [`Program`] and [`eval`]: one expression.
//! * [`template`]: text and JSON with expressions in it.
//! * [`Value`], [`Env`], [`Function`]: what goes in and comes out.
//! * [`lookup`]: functions whose answer must be fetched first.
//!
//! It knows nothing of Kubernetes: functions of a field come with the
//! environment.
//!
//! ```
//! let env = expr::Env::from(serde_json::json!({"list": [{"n": 1}, {"n": 2}]}));
//! assert_eq!(expr::eval("sum(list, .n) + 1", &env).unwrap(), expr::Value::from(4));
//! ```

mod ast;
mod budget;
mod builtins;
mod cache;
mod check;
mod env;
mod error;
mod eval;
mod fold;
mod function;
mod gotext;
mod json;
mod lexer;
mod list;
pub mod lookup;
mod object;
mod ops;
mod parser;
mod pattern;
mod predicate;
mod print;
mod program;
mod secrets;
mod table;
pub mod template;
mod time;
mod value;

pub use budget::Budget;
pub use builtins::{Builtin, reference};
pub use env::Env;
pub use error::{Error, ErrorKind, Span};
pub use function::{Function, FunctionBody, FunctionError};
pub use list::List;
pub use lookup::{LookupCache, LookupKey};
pub use object::{Field, Object, Record};
pub use pattern::compile as compile_regex;
pub use program::{Program, eval};
pub use secrets::{MASK, Secrets};
pub use table::Table;
pub use value::{Map, MapKind, Value};
