//! The cases of `expressions` 11.5, 11.7, 11.8 and 11.9.
