//! What dialects can say, numbered: the words in which a loss is told, and the rows of the translation matrix.

use std::fmt;

macro_rules! features {
    ($($number:literal $variant:ident $name:literal $about:literal;)*) => {
        /// Something that a request or an answer can say and not every dialect has a word for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $(#[doc = $about] $variant = $number,)*
        }

        impl Feature {
            /// All of them, by their numbers.
            pub const ALL: &[Feature] = &[$(Feature::$variant,)*];

            /// Its name, as `x-penstock-degraded` tells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Feature::$variant => $name,)*
                }
            }
        }
    };
}

features! {
    1 System "system" "Instructions before the conversation.";
    2 SystemWithin "system_within" "Instructions within the conversation.";
    3 Developer "developer" "Instructions of the developer, apart from the system's.";
    4 Name "name" "The name of who speaks.";
    5 Prefill "prefill" "An answer that has been begun.";
    6 Image "image" "A picture in base64.";
    7 ImageUrl "image_url" "A picture at an address.";
    8 ImageDetail "image_detail" "How closely a picture is looked at.";
    9 Audio "audio" "A sound.";
    10 Video "video" "A film.";
    11 Document "document" "A document in base64.";
    12 DocumentUrl "document_url" "A document at an address.";
    13 File "file" "A file that is at the provider.";
    14 Tools "tools" "Functions that may be called.";
    15 ToolStrict "tool_strict" "Calls that follow the schema exactly.";
    16 ToolChoice "tool_choice" "None, any or a certain function must be called.";
    17 AllowedTools "allowed_tools" "A choice of the functions.";
    18 ParallelToolCalls "parallel_tool_calls" "Whether several functions may be called at once.";
    19 ParallelCalls "parallel_calls" "Several calls in one turn, and their results.";
    20 ToolResultMedia "tool_result_media" "Pictures and documents in what a function gave back.";
    21 ToolResultError "tool_result_error" "A function that failed.";
    22 CustomTools "custom_tools" "Functions that take free text.";
    23 ServerTools "server_tools" "Functions that the provider runs itself.";
    24 Json "json" "Any JSON object as the answer.";
    25 JsonSchema "json_schema" "JSON of a schema as the answer.";
    26 Temperature "temperature" "How far the model may stray.";
    27 TopP "top_p" "The share of probability to choose from.";
    28 TopK "top_k" "The number of tokens to choose from.";
    29 Seed "seed" "A seed.";
    30 PresencePenalty "presence_penalty" "Less of what was said at all.";
    31 FrequencyPenalty "frequency_penalty" "Less of what was said often.";
    32 LogitBias "logit_bias" "More or less of single tokens.";
    33 Stop "stop" "Texts that end the answer.";
    34 MaxOutput "max_output" "Tokens of output at most.";
    35 Answers "n" "Several answers.";
    36 Logprobs "logprobs" "Probabilities of tokens.";
    37 Effort "reasoning_effort" "How much to think, in words.";
    38 ThinkingBudget "thinking_budget" "How much to think, in tokens.";
    39 ThinkingShown "thinking_shown" "Thoughts in the answer.";
    40 ThinkingSignature "thinking_signature" "What proves a thought unchanged.";
    41 ThinkingSealed "thinking_sealed" "Thoughts that only the provider can read.";
    42 CacheMark "cache_mark" "Marks up to which the provider keeps what it read.";
    43 CacheHour "cache_hour" "To be kept for an hour.";
    44 CacheKey "cache_key" "A key of requests that begin alike.";
    45 ServiceTier "service_tier" "How urgent it is.";
    46 User "user" "Who asks.";
    47 Metadata "metadata" "What the caller notes.";
    48 Verbosity "verbosity" "How wordy the answer is.";
    49 Safety "safety" "What the provider is to refuse.";
    50 Modalities "modalities" "Sounds and pictures as the answer.";
    51 Prediction "prediction" "A text that the answer is likely to be.";
    52 WebSearch "web_search" "Search of the web.";
    53 Stored "stored" "Answers that the provider keeps.";
    54 Citations "citations" "Where the answer is from.";
    55 Refusal "refusal" "Why it does not answer.";
    56 StopReason "stop_reason" "Why the answer ended.";
    57 StopSequence "stop_sequence" "Which text ended it.";
    58 CachedUsage "cached_usage" "Tokens read from a cache and written to one.";
    59 ReasoningUsage "reasoning_usage" "Tokens of thinking.";
    60 Stream "stream" "The answer as a stream.";
    61 StreamUsage "stream_usage" "The usage of a stream.";
    62 Errors "errors" "Errors before the answer and within it.";
    63 Unknown "unknown" "A member that is not known here.";
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a writer had no word for: each feature once, in the order in which it was met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Losses(Vec<Feature>);

impl Losses {
    /// Tells one.
    pub fn tell(&mut self, feature: Feature) {
        if !self.0.contains(&feature) {
            self.0.push(feature);
        }
    }

    /// Tells one where there was something to say.
    pub fn tell_if(&mut self, lost: bool, feature: Feature) {
        if lost {
            self.tell(feature);
        }
    }

    /// Those told.
    pub fn features(&self) -> &[Feature] {
        &self.0
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Losses {
    /// As the value of `x-penstock-degraded`: names with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, feature) in self.0.iter().enumerate() {
            f.write_str(if n > 0 { "," } else { "" })?;
            f.write_str(feature.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for (n, feature) in Feature::ALL.iter().enumerate() {
            assert_eq!(*feature as usize, n + 1);
            assert!(Feature::ALL.iter().filter(|other| other.name() == feature.name()).count() == 1);
            let is_token = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(is_token(feature.name()), "{feature}");
        }
    }

    #[test]
    fn a_loss_is_told_once() {
        let mut losses = Losses::default();
        losses.tell(Feature::TopK);
        losses.tell(Feature::Seed);
        losses.tell_if(false, Feature::Name);
        losses.tell_if(true, Feature::TopK);
        assert_eq!(losses.to_string(), "top_k,seed");
    }
}
