//! Functions whose answer must be fetched from elsewhere, asynchronously.
//!
//! Evaluation is synchronous and pure. A function that lacks its answer ends
//! the evaluation with the key of what it needs; the caller fetches it, puts
//! it into the cache and evaluates again. [`drive`] is that loop.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::function::FunctionError;
use crate::value::Value;

/// How many different answers one evaluation may ask for.
pub const MAX_LOOKUPS: usize = 1_000;

/// What a function must fetch: its name and its arguments, as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LookupKey {
    /// The function's name, for example `configMap`.
    pub function: Arc<str>,
    /// What it is asked for, for example a namespace and a name.
    pub arguments: Vec<String>,
}

impl LookupKey {
    /// A key of a function's name and what it is asked for.
    pub fn new(
        function: impl Into<Arc<str>>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            function: function.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// The argument at `index`, `""` where there is none.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }
}

impl std::fmt::Display for LookupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.function, self.arguments.join(", "))
    }
}

/// Answers by key. A clone shares the answers.
///
/// ```
/// use expr::{FunctionError, LookupCache, LookupKey, Value};
///
/// let cache = LookupCache::new();
/// let key = LookupKey::new("secret", ["name"]);
/// assert_eq!(key.to_string(), "secret(name)");
/// assert_eq!(cache.get(key.clone()), Err(FunctionError::NeedsLookup(key.clone())));
/// cache.put(key.clone(), Ok(Value::from(1)));
/// assert_eq!(cache.get(key.clone()), Ok(Value::from(1)));
/// cache.retain(|key| &*key.function != "secret");
/// assert!(cache.get(key).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct LookupCache(Arc<Mutex<HashMap<LookupKey, Result<Value, String>>>>);

impl LookupCache {
    /// A cache without answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer for a function to return.
    ///
    /// # Errors
    /// [`FunctionError::NeedsLookup`] when the answer is not there yet, or the
    /// recorded failure.
    pub fn get(&self, key: LookupKey) -> Result<Value, FunctionError> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get(&key) {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(message)) => Err(FunctionError::Failed(message.clone())),
            None => Err(FunctionError::NeedsLookup(key)),
        }
    }

    /// Records an answer, or why there is none.
    pub fn put(&self, key: LookupKey, answer: Result<Value, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer);
    }

    /// Forgets the answers for which `keep` is false.
    pub fn retain(&self, mut keep: impl FnMut(&LookupKey) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| keep(key));
    }
}

/// Evaluates until no answer is missing. `evaluate` is called again after
/// each answer that `resolve` gave; an `Err` of `resolve` becomes the
/// function's failure.
///
/// # Errors
/// The evaluation's own error; a budget error after [`MAX_LOOKUPS`] answers,
/// or when an answer that was given is asked for again.
///
/// ```
/// use expr::{Env, Function, LookupCache, LookupKey, Value};
///
/// let cache = LookupCache::new();
/// let mut env = Env::new();
/// let answers = cache.clone();
/// env.set_function(Function::new("configMap", move |args| {
///     answers.get(LookupKey::new("configMap", [args[0].to_text()]))
/// }));
/// let value = futures_lite_block_on(expr::lookup::drive(
///     &cache,
///     || expr::eval("configMap('x') + '!'", &env),
///     async |key: LookupKey| Ok(Value::from(format!("data of {}", key.argument(0)))),
/// ));
/// assert_eq!(value.unwrap(), Value::from("data of x!"));
/// # fn futures_lite_block_on<F: std::future::Future>(f: F) -> F::Output {
/// #     let mut f = std::pin::pin!(f);
/// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop { if let std::task::Poll::Ready(v) = f.as_mut().poll(&mut cx) { return v } }
/// # }
/// ```
pub async fn drive<T, R, F>(
    cache: &LookupCache,
    mut evaluate: impl FnMut() -> Result<T, Error>,
    mut resolve: R,
) -> Result<T, Error>
where
    R: FnMut(LookupKey) -> F,
    F: Future<Output = Result<Value, String>>,
{
    for _ in 0..=MAX_LOOKUPS {
        let error = match evaluate() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(key) = error.lookup_key().cloned() else { return Err(error) };
        if cache.get(key.clone()).is_ok() {
            return Err(Error::budget(format!("the answer for {key} is not used")));
        }
        let answer = resolve(key.clone()).await;
        cache.put(key, answer);
    }
    Err(Error::budget(format!("more than {MAX_LOOKUPS} lookups in one evaluation")))
}
