//! The controllers, one folder a kind.
