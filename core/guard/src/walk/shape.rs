//! Where dialects have texts in their documents, as data.

use penstock_ai::dialect::Dialect;

/// What a string is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// No text.
    Nothing,
    /// A text.
    Text,
    /// A text that ought to be JSON, whose strings are texts.
    Json,
}

/// What stands at a place. An array there is each of its elements.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) string: As,
    pub(super) members: &'static [Member],
    /// What members are that are not named.
    pub(super) others: Option<&'static Shape>,
    /// Members that spell a text once more, token by token.
    pub(super) spelled: &'static [&'static str],
    /// All strings within are texts.
    pub(super) is_free: bool,
}

/// A member that has texts.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: &'static Shape,
    /// Only where another member is this string.
    pub(super) when: Option<(&'static str, &'static str)>,
    pub(super) is_instruction: bool,
}

/// Members whose text only its provider reads, or that prove that what stands beside them is unchanged: what has one is
/// not changed.
pub(super) const SEALS: [&str; 5] =
    ["signature", "thoughtSignature", "thought_signature", "encrypted_content", "encrypted_index"];

const fn of(members: &'static [Member]) -> Shape {
    Shape { string: As::Nothing, members, others: None, spelled: &[], is_free: false }
}

const fn text_or(members: &'static [Member]) -> Shape {
    Shape { string: As::Text, ..of(members) }
}

const fn m(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, when: None, is_instruction: false }
}

const fn instruction(name: &'static str, shape: &'static Shape) -> Member {
    Member { is_instruction: true, ..m(name, shape) }
}

static TEXT: Shape = text_or(&[]);
static JSON: Shape = Shape { string: As::Json, ..of(&[]) };
static FREE: Shape = Shape { string: As::Text, is_free: true, ..of(&[]) };
/// Functions, in every dialect's way of nesting them.
static TOOL: Shape = of(&[
    m("description", &TEXT),
    m("function", &TOOL),
    m("functionDeclarations", &TOOL),
    m("function_declarations", &TOOL),
    m("toolSpec", &TOOL),
    m("custom", &TOOL),
]);

pub(super) fn request(dialect: Dialect) -> &'static Shape {
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => &CHAT_REQUEST,
        Dialect::OpenAiResponses => &RESPONSES_REQUEST,
        Dialect::Anthropic => &MESSAGES_REQUEST,
        Dialect::Gemini => &GEMINI_REQUEST,
        Dialect::Bedrock => &CONVERSE_REQUEST,
        Dialect::Cohere => &COHERE_REQUEST,
    }
}

pub(super) fn answer(dialect: Dialect) -> &'static Shape {
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => &CHAT_ANSWER,
        Dialect::OpenAiResponses => &RESPONSES_ANSWER,
        Dialect::Anthropic => &MESSAGES_ANSWER,
        Dialect::Gemini => &GEMINI_ANSWER,
        Dialect::Bedrock => &CONVERSE_ANSWER,
        Dialect::Cohere => &COHERE_ANSWER,
    }
}

// Chat Completions, Mistral's and Cohere's.

static CHAT_CONTENT: Shape =
    text_or(&[m("text", &TEXT), m("refusal", &TEXT), m("thinking", &CHAT_CONTENT), m("document", &FREE)]);
static CHAT_FUNCTION: Shape = of(&[m("arguments", &JSON), m("input", &TEXT)]);
static CHAT_CALL: Shape = of(&[m("function", &CHAT_FUNCTION), m("custom", &CHAT_FUNCTION)]);
static CHAT_AUDIO: Shape = of(&[m("transcript", &TEXT)]);
static CHAT_MESSAGE: Shape = of(&[
    m("content", &CHAT_CONTENT),
    m("refusal", &TEXT),
    m("reasoning_content", &TEXT),
    m("reasoning", &TEXT),
    m("tool_plan", &TEXT),
    m("tool_calls", &CHAT_CALL),
    m("function_call", &CHAT_FUNCTION),
    m("audio", &CHAT_AUDIO),
    m("citations", &COHERE_CITATION),
]);
static CHAT_PREDICTION: Shape = of(&[m("content", &CHAT_CONTENT)]);
static CHAT_REQUEST: Shape = of(&[
    m("messages", &CHAT_MESSAGE),
    m("prediction", &CHAT_PREDICTION),
    instruction("tools", &TOOL),
    instruction("functions", &TOOL),
]);
static CHAT_CHOICE: Shape =
    Shape { spelled: &["logprobs"], ..of(&[m("message", &CHAT_MESSAGE), m("text", &TEXT)]) };
static CHAT_ANSWER: Shape = of(&[m("choices", &CHAT_CHOICE)]);

static COHERE_CITATION: Shape = of(&[m("text", &TEXT)]);
static COHERE_DOCUMENT: Shape = text_or(&[m("data", &FREE)]);
static COHERE_REQUEST: Shape =
    of(&[m("messages", &CHAT_MESSAGE), m("documents", &COHERE_DOCUMENT), instruction("tools", &TOOL)]);
static COHERE_ANSWER: Shape = Shape { spelled: &["logprobs"], ..of(&[m("message", &CHAT_MESSAGE)]) };

// Responses.

static RESPONSES_CONTENT: Shape = Shape {
    spelled: &["logprobs"],
    ..text_or(&[m("text", &TEXT), m("refusal", &TEXT), m("transcript", &TEXT), m("logs", &TEXT)])
};
static RESPONSES_ACTION: Shape = of(&[
    m("command", &TEXT),
    m("commands", &TEXT),
    m("query", &TEXT),
    m("queries", &TEXT),
    m("text", &TEXT),
]);
static RESPONSES_OUTPUT: Shape = Shape {
    string: As::Json,
    ..of(&[m("text", &TEXT), m("stdout", &TEXT), m("stderr", &TEXT), m("outputs", &RESPONSES_CONTENT)])
};
static RESPONSES_ITEM: Shape = text_or(&[
    m("content", &RESPONSES_CONTENT),
    m("summary", &RESPONSES_CONTENT),
    m("arguments", &JSON),
    m("input", &TEXT),
    m("output", &RESPONSES_OUTPUT),
    m("outputs", &RESPONSES_CONTENT),
    m("results", &RESPONSES_CONTENT),
    m("queries", &TEXT),
    m("code", &TEXT),
    m("action", &RESPONSES_ACTION),
]);
static RESPONSES_VARIABLES: Shape = Shape { others: Some(&RESPONSES_CONTENT), ..of(&[]) };
static RESPONSES_PROMPT: Shape = of(&[m("variables", &RESPONSES_VARIABLES)]);
static RESPONSES_REQUEST: Shape = of(&[
    instruction("instructions", &RESPONSES_ITEM),
    m("input", &RESPONSES_ITEM),
    m("prompt", &RESPONSES_PROMPT),
    instruction("tools", &TOOL),
]);
static RESPONSES_ANSWER: Shape = of(&[
    m("output", &RESPONSES_ITEM),
    // Told back from the request.
    instruction("instructions", &RESPONSES_ITEM),
    m("prompt", &RESPONSES_PROMPT),
]);

// Messages.

static MESSAGES_SOURCE: Shape =
    of(&[Member { when: Some(("type", "text")), ..m("data", &TEXT) }, m("content", &MESSAGES_BLOCK)]);
static MESSAGES_CITATION: Shape =
    of(&[m("cited_text", &TEXT), m("title", &TEXT), m("document_title", &TEXT)]);
static MESSAGES_BLOCK: Shape = text_or(&[
    m("text", &TEXT),
    m("thinking", &TEXT),
    m("input", &FREE),
    m("content", &MESSAGES_BLOCK),
    m("title", &TEXT),
    m("context", &TEXT),
    m("source", &MESSAGES_SOURCE),
    m("citations", &MESSAGES_CITATION),
    m("stdout", &TEXT),
    m("stderr", &TEXT),
]);
static MESSAGES_MESSAGE: Shape = of(&[m("content", &MESSAGES_BLOCK)]);
static MESSAGES_REQUEST: Shape = of(&[
    instruction("system", &MESSAGES_BLOCK),
    m("messages", &MESSAGES_MESSAGE),
    instruction("tools", &TOOL),
]);
static MESSAGES_ANSWER: Shape = of(&[m("content", &MESSAGES_BLOCK)]);

// generateContent.

static GEMINI_CALL: Shape = of(&[m("args", &FREE)]);
static GEMINI_RESPONSE: Shape = of(&[m("response", &FREE)]);
static GEMINI_CODE: Shape = of(&[m("code", &TEXT), m("output", &TEXT)]);
static GEMINI_PART: Shape = of(&[
    m("text", &TEXT),
    m("functionCall", &GEMINI_CALL),
    m("function_call", &GEMINI_CALL),
    m("functionResponse", &GEMINI_RESPONSE),
    m("function_response", &GEMINI_RESPONSE),
    m("executableCode", &GEMINI_CODE),
    m("executable_code", &GEMINI_CODE),
    m("codeExecutionResult", &GEMINI_CODE),
    m("code_execution_result", &GEMINI_CODE),
]);
static GEMINI_CONTENT: Shape = of(&[m("parts", &GEMINI_PART)]);
static GEMINI_REQUEST: Shape = of(&[
    m("contents", &GEMINI_CONTENT),
    instruction("systemInstruction", &GEMINI_CONTENT),
    instruction("system_instruction", &GEMINI_CONTENT),
    instruction("tools", &TOOL),
]);
static GEMINI_PASSAGE: Shape = of(&[m("text", &TEXT), m("title", &TEXT)]);
static GEMINI_CHUNK: Shape = of(&[m("retrievedContext", &GEMINI_PASSAGE)]);
static GEMINI_SUPPORT: Shape = of(&[m("segment", &GEMINI_PASSAGE)]);
static GEMINI_GROUNDING: Shape = of(&[
    m("groundingChunks", &GEMINI_CHUNK),
    m("groundingSupports", &GEMINI_SUPPORT),
    m("webSearchQueries", &TEXT),
]);
static GEMINI_CANDIDATE: Shape = Shape {
    spelled: &["logprobsResult"],
    ..of(&[m("content", &GEMINI_CONTENT), m("groundingMetadata", &GEMINI_GROUNDING)])
};
static GEMINI_ANSWER: Shape = of(&[m("candidates", &GEMINI_CANDIDATE)]);

// Converse.

static CONVERSE_CALL: Shape = of(&[m("input", &FREE)]);
static CONVERSE_SOURCE: Shape = of(&[m("text", &TEXT), m("content", &CONVERSE_TEXTS)]);
static CONVERSE_TEXTS: Shape = of(&[m("text", &TEXT)]);
static CONVERSE_DOCUMENT: Shape = of(&[m("context", &TEXT), m("source", &CONVERSE_SOURCE)]);
static CONVERSE_CITATION: Shape = of(&[m("title", &TEXT), m("sourceContent", &CONVERSE_TEXTS)]);
static CONVERSE_CITED: Shape = of(&[m("content", &CONVERSE_TEXTS), m("citations", &CONVERSE_CITATION)]);
static CONVERSE_THOUGHT: Shape = of(&[m("reasoningText", &CONVERSE_TEXTS)]);
static CONVERSE_GUARDED: Shape = of(&[m("text", &CONVERSE_TEXTS)]);
static CONVERSE_RESULT: Shape = of(&[m("content", &CONVERSE_BLOCK)]);
static CONVERSE_BLOCK: Shape = of(&[
    m("text", &TEXT),
    m("json", &FREE),
    m("toolUse", &CONVERSE_CALL),
    m("toolResult", &CONVERSE_RESULT),
    m("reasoningContent", &CONVERSE_THOUGHT),
    m("guardContent", &CONVERSE_GUARDED),
    m("citationsContent", &CONVERSE_CITED),
    m("document", &CONVERSE_DOCUMENT),
]);
static CONVERSE_MESSAGE: Shape = of(&[m("content", &CONVERSE_BLOCK)]);
static CONVERSE_TOOLS: Shape = of(&[m("tools", &TOOL)]);
static CONVERSE_VARIABLES: Shape = Shape { others: Some(&CONVERSE_TEXTS), ..of(&[]) };
static CONVERSE_REQUEST: Shape = of(&[
    instruction("system", &CONVERSE_BLOCK),
    m("messages", &CONVERSE_MESSAGE),
    instruction("toolConfig", &CONVERSE_TOOLS),
    m("promptVariables", &CONVERSE_VARIABLES),
]);
static CONVERSE_OUTPUT: Shape = of(&[m("message", &CONVERSE_MESSAGE)]);
static CONVERSE_ANSWER: Shape = of(&[m("output", &CONVERSE_OUTPUT)]);
