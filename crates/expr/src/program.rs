//! Compiled expressions.

use std::sync::Arc;

use crate::ast::Ast;
use crate::budget::Budget;
use crate::env::Env;
use crate::error::Error;
use crate::function::Function;
use crate::value::Value;

/// A compiled expression. Cheap to clone, free to share between threads.
#[derive(Clone, Debug)]
pub struct Program {
    ast: Arc<Ast>,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Compile`] with the place in the text.
    ///
    /// ```
    /// let program = expr::Program::compile("1 + n").unwrap();
    /// let mut env = expr::Env::new();
    /// env.set("n", 2);
    /// assert_eq!(program.run(&env).unwrap(), expr::Value::from(3));
    ///
    /// let error = expr::Program::compile("1 +").unwrap_err();
    /// assert_eq!(error.render(), "unexpected token EOF (1:4)\n | 1 +\n | ...^");
    /// ```
    pub fn compile(source: &str) -> Result<Self, Error> {
        let source: Arc<str> = source.into();
        let mut ast = crate::parser::parse(&source)?;
        crate::check::check(&ast)?;
        crate::fold::fold(&mut ast);
        Ok(Self { ast: Arc::new(ast) })
    }

    /// [`compile`](Self::compile), through a cache of the texts used last.
    ///
    /// # Errors
    /// As [`compile`](Self::compile); failures are not cached.
    ///
    /// ```
    /// let program = expr::Program::cached("1 + 1").unwrap();
    /// assert_eq!(program.run(&expr::Env::new()).unwrap(), expr::Value::from(2));
    /// ```
    pub fn cached(source: &str) -> Result<Self, Error> {
        static CACHE: std::sync::LazyLock<crate::cache::Cache<Program>> =
            std::sync::LazyLock::new(crate::cache::Cache::default);
        CACHE.get(source, Self::compile)
    }

    /// Evaluates with the default [`Budget`].
    ///
    /// # Errors
    /// What went wrong, with the place in the text.
    pub fn run(&self, env: &Env) -> Result<Value, Error> {
        self.run_within(env, Budget::default())
    }

    /// Evaluates within a budget.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`crate::ErrorKind::Budget`] when it is used up.
    ///
    /// ```
    /// let program = expr::Program::compile("map(1..1000, # * 2)").unwrap();
    /// let budget = expr::Budget { steps: 100, ..expr::Budget::default() };
    /// let error = program.run_within(&expr::Env::new(), budget).unwrap_err();
    /// assert_eq!(error.kind(), expr::ErrorKind::Budget);
    /// ```
    pub fn run_within(&self, env: &Env, budget: Budget) -> Result<Value, Error> {
        self.run_with(env, &[], budget)
    }

    /// Evaluates with functions beside the environment's own.
    pub(crate) fn run_with(
        &self,
        env: &Env,
        functions: &'static [Function],
        budget: Budget,
    ) -> Result<Value, Error> {
        crate::eval::run(&self.ast, env, functions, budget)
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.ast.source
    }
}

impl std::fmt::Display for Program {
    /// The expression in one canonical form, with brackets around each
    /// operation.
    ///
    /// ```
    /// let program = expr::Program::compile("1+a.b*2").unwrap();
    /// assert_eq!(program.to_string(), "(1 + (a.b * 2))");
    /// ```
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Parsed again, since the program itself has been folded.
        match crate::parser::parse(&self.ast.source) {
            Ok(ast) => f.write_str(&crate::print::print(&ast)),
            Err(_) => f.write_str(&self.ast.source),
        }
    }
}

/// Compiles (through the cache) and evaluates an expression.
///
/// # Errors
/// As [`Program::compile`] and [`Program::run`].
///
/// ```
/// let env = expr::Env::new();
/// assert_eq!(expr::eval("upper('a') + 'b'", &env).unwrap(), expr::Value::from("Ab"));
/// ```
pub fn eval(source: &str, env: &Env) -> Result<Value, Error> {
    Program::cached(source)?.run(env)
}
