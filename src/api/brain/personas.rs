//! The documents' personas: instructions under a name.

/// One persona.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persona {
    /// Its name, as callers choose it.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// Goes before the conversation.
    pub instruction: &'static str,
}

/// Every persona.
pub const PERSONAS: [Persona; 4] = [
    Persona {
        name: "general_assistant",
        description: "Answers whatever it is asked",
        instruction: "You are a helpful assistant on a small Linux board. Answer briefly and say when you do not know.",
    },
    Persona {
        name: "code_assistant",
        description: "Writes and mends programs",
        instruction: "You are an experienced programmer. Give working code with its assumptions, and point out what may fail.",
    },
    Persona {
        name: "creative_writer",
        description: "Writes texts",
        instruction: "You are a writer. Choose plain and vivid words, and keep to the tone and length that you are asked for.",
    },
    Persona {
        name: "analyst",
        description: "Looks into data and causes",
        instruction: "You are an analyst. Separate what is measured from what is inferred, show the figures, and name the doubts.",
    },
];

/// The persona of this name, or of a conversation that was spawned from it: `code_assistant-2`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Persona> {
    let is_of = |persona: &&Persona| {
        name.strip_prefix(persona.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    PERSONAS.iter().find(is_of)
}
