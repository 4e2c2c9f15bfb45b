//! What an expression can see: variables and functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::function::Function;
use crate::secrets::Secrets;
use crate::value::{Map, Value};

/// Variables and functions of an evaluation. Cheap to clone; a clone shares
/// the [`Secrets`] and nothing else.
///
/// ```
/// use expr::{Env, Function, Secrets, Value};
///
/// let secrets = Secrets::new();
/// let mut env = Env::new().with_secrets(secrets.clone());
/// env.set("a", 1);
/// env.set("b", 2);
/// env.unset("b");
/// env.set_function(Function::new("f", |_| Ok(Value::from(true))));
/// assert_eq!((env.get("a"), env.get("b")), (Some(&Value::from(1)), None));
/// assert_eq!(env.variables().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
/// assert_eq!(env.functions().map(|f| f.name()).collect::<Vec<_>>(), ["f"]);
/// assert!(env.function("f").is_some() && env.function("g").is_none());
/// env.secrets().add("hunter2");
/// assert_eq!(secrets.mask("hunter2"), "***");
///
/// // Without any environment an unknown name is an error, not nil.
/// assert!(expr::eval("x", &Env::nil()).is_err());
/// assert!(expr::eval("x", &Env::new()).unwrap().is_nil());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: Arc<Map>,
    functions: Arc<BTreeMap<Arc<str>, Function>>,
    secrets: Secrets,
    is_nil: bool,
}

impl Env {
    /// An environment without variables and functions. Names that are not
    /// set are nil (`expressions` 6.4).
    pub fn new() -> Self {
        Self::default()
    }

    /// No environment at all: a name that is not a function is an error
    /// (`expressions` 8, place H).
    pub fn nil() -> Self {
        Self { is_nil: true, ..Self::default() }
    }

    /// Sets a variable.
    ///
    /// ```
    /// let mut env = expr::Env::new();
    /// env.set("stage", "prod");
    /// assert_eq!(expr::eval("stage + '!'", &env).unwrap(), expr::Value::from("prod!"));
    /// ```
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) {
        self.is_nil = false;
        Arc::make_mut(&mut self.variables).insert(name, value);
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        Arc::make_mut(&mut self.variables).remove(name);
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    /// Adds a function under its own name; one of that name is replaced.
    pub fn set_function(&mut self, function: Function) {
        Arc::make_mut(&mut self.functions).insert(function.name().into(), function);
    }

    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// All functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = &Function> + '_ {
        self.functions.values()
    }

    /// All variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Value)> + '_ {
        self.variables.iter()
    }

    /// Where functions put secret texts for masking.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The same environment with its secrets collected elsewhere.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.is_nil
    }

    /// The whole environment as `$env` gives it.
    pub(crate) fn as_value(&self) -> Value {
        if self.is_nil { Value::Nil } else { Value::Map(self.variables.clone()) }
    }
}

impl FromIterator<(String, Value)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(variables: I) -> Self {
        let mut env = Self::new();
        for (name, value) in variables {
            env.set(name, value);
        }
        env
    }
}

impl From<serde_json::Value> for Env {
    /// The members of an object as variables; anything else has none.
    fn from(json: serde_json::Value) -> Self {
        let mut env = Self::new();
        if let Value::Map(map) = Value::from(json) {
            env.variables = map;
        }
        env
    }
}
