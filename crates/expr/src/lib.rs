//! An expression language: lexer, parser, compiler, evaluator, built-ins and `${{ }}` templates.
