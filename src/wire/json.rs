//! JSON as views into checked text.
