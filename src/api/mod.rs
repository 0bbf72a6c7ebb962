//! The HTTP API as values: one route table from which router, authorisation, OpenAPI document and docs are made. Pure.
