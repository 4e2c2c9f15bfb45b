//! Functions that an environment brings.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::lookup::LookupKey;
use crate::value::Value;

/// Why a function gave no value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FunctionError {
    /// It failed; the text becomes the expression's error.
    Failed(String),
    /// Its answer must be fetched first; see [`crate::lookup`].
    NeedsLookup(LookupKey),
}

impl From<String> for FunctionError {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for FunctionError {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

/// A function's body.
pub type FunctionBody = dyn Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync;

struct Inner {
    name: Arc<str>,
    arity: Option<RangeInclusive<usize>>,
    signature: Option<Arc<str>>,
    doc: Option<Arc<str>>,
    body: Arc<FunctionBody>,
}

/// A function that expressions may call. Cheap to clone.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

impl Function {
    /// A function of a name and a body.
    ///
    /// ```
    /// let double = expr::Function::new("double", |args| {
    ///     let n = args.first().and_then(expr::Value::as_int).ok_or("expected a number")?;
    ///     Ok(expr::Value::from(n * 2))
    /// })
    /// .with_arity(1..=1);
    /// let mut env = expr::Env::new();
    /// env.set_function(double);
    /// assert_eq!(expr::eval("double(21)", &env).unwrap(), expr::Value::from(42));
    /// assert_eq!(
    ///     expr::eval("double()", &env).unwrap_err().message(),
    ///     "not enough arguments to call double"
    /// );
    /// ```
    pub fn new(
        name: impl Into<Arc<str>>,
        body: impl Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            arity: None,
            signature: None,
            doc: None,
            body: Arc::new(body),
        }))
    }

    fn map(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            name: self.0.name.clone(),
            arity: self.0.arity.clone(),
            signature: self.0.signature.clone(),
            doc: self.0.doc.clone(),
            body: self.0.body.clone(),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The same function, checked for its number of arguments when called
    /// (`too many arguments to call …`).
    #[must_use]
    pub fn with_arity(self, arity: RangeInclusive<usize>) -> Self {
        self.map(|inner| inner.arity = Some(arity))
    }

    /// The same function with a signature for people, for example
    /// `imageFrom(repoURL[, origin])`.
    #[must_use]
    pub fn with_signature(self, signature: impl Into<Arc<str>>) -> Self {
        self.map(|inner| inner.signature = Some(signature.into()))
    }

    /// The same function with a sentence on what it does.
    #[must_use]
    pub fn with_doc(self, doc: impl Into<Arc<str>>) -> Self {
        self.map(|inner| inner.doc = Some(doc.into()))
    }

    /// Its name.
    ///
    /// ```
    /// let f = expr::Function::new("f", |_| Ok(1.into())).with_signature("f()").with_doc("One.");
    /// assert_eq!((f.name(), f.signature().as_str(), f.doc()), ("f", "f()", Some("One.")));
    /// assert_eq!(f.call(&[]), Ok(expr::Value::from(1)));
    /// ```
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its signature for people; its name and `(…)` where none was given.
    pub fn signature(&self) -> String {
        match &self.0.signature {
            Some(signature) => signature.to_string(),
            None => format!("{}(...)", self.0.name),
        }
    }

    /// What it does, if it says so.
    pub fn doc(&self) -> Option<&str> {
        self.0.doc.as_deref()
    }

    /// Calls it.
    ///
    /// # Errors
    /// A wrong number of arguments, or the body's own.
    pub fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        if let Some(arity) = &self.0.arity {
            if arguments.len() < *arity.start() {
                return Err(format!("not enough arguments to call {}", self.0.name).into());
            }
            if arguments.len() > *arity.end() {
                return Err(format!("too many arguments to call {}", self.0.name).into());
            }
        }
        (self.0.body)(arguments)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({})", self.0.name)
    }
}
