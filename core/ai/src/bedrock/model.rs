//! What differs by the maker of a model, which Converse hides only in part: members of `additionalModelRequestFields` are
//! those of the model itself
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>).

/// Whose a model is, as far as its requests differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's Claude.
    Claude,
    /// Amazon's Nova, of the first generation.
    Nova,
    /// Amazon's Nova of the second generation, which thinks.
    Nova2,
    /// OpenAI's open models.
    OpenAi,
    /// Another maker's.
    Other,
    /// Behind an id that does not say it: a profile, a router, a prompt.
    Unknown,
}

impl Family {
    /// That of a model's id or ARN, region prefixes included: `us.anthropic.claude-...`.
    pub(super) fn of(model: &str) -> Self {
        let has = |maker: &str| model.contains(maker);
        match () {
            () if has("anthropic.") => Family::Claude,
            () if has("amazon.nova-2") => Family::Nova2,
            () if has("amazon.nova") => Family::Nova,
            () if has("openai.") => Family::OpenAi,
            () if model.starts_with("arn:") && !has("foundation-model/") => Family::Unknown,
            () if !has(".") => Family::Unknown,
            () => Family::Other,
        }
    }

    /// Whether marks of caching are taken
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
    pub(super) fn caches(self) -> bool {
        matches!(self, Family::Claude | Family::Nova | Family::Nova2 | Family::Unknown)
    }

    /// Whether they are taken behind functions too.
    pub(super) fn caches_tools(self) -> bool {
        matches!(self, Family::Claude | Family::Unknown)
    }

    /// Whether it can be told that a function failed.
    pub(super) fn knows_status(self) -> bool {
        !matches!(self, Family::Other | Family::OpenAi)
    }
}

/// The values of `anthropic-beta` that Bedrock takes; any other makes it refuse the request
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>).
pub const BETAS: &[&str] = &[
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dev-full-thinking-2025-05-14",
    "effort-2025-11-24",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "token-efficient-tools-2025-02-19",
    "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
];

/// Those of the values of a header `anthropic-beta`, with commas between them, that Bedrock takes. It takes them as
/// `anthropic_beta` in `additionalModelRequestFields`, not as a header.
pub fn allowed_betas(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim).filter(|beta| BETAS.contains(beta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_known_by_the_id() {
        for (model, family) in [
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Claude),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
                Family::Claude,
            ),
            ("eu.amazon.nova-micro-v1:0", Family::Nova),
            ("global.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("openai.gpt-oss-120b-1:0", Family::OpenAi),
            ("mistral.mistral-large-2407-v1:0", Family::Other),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc.d", Family::Unknown),
            ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-instruct-v1:0", Family::Other),
            ("mine", Family::Unknown),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }

    #[test]
    fn trap_38_only_betas_that_bedrock_takes_are_left() {
        let header = "claude-code-20250219, interleaved-thinking-2025-05-14,prompt-caching-scope-2026-01-05,";
        assert_eq!(allowed_betas(header).collect::<Vec<_>>(), ["interleaved-thinking-2025-05-14"]);
    }
}
