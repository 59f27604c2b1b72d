//! Media: Converse names a format where others tell a media type.

use crate::form::MediaKind;

/// Formats by their kinds, and their media types (RFC 6838), those first that are written.
const FORMATS: &[(MediaKind, &str, &str)] = &[
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (MediaKind::Document, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (MediaKind::Document, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Audio, "mp3", "audio/mpeg"),
    (MediaKind::Audio, "mp3", "audio/mp3"),
    (MediaKind::Audio, "wav", "audio/wav"),
    (MediaKind::Audio, "wav", "audio/x-wav"),
    (MediaKind::Audio, "aac", "audio/aac"),
    (MediaKind::Audio, "flac", "audio/flac"),
    (MediaKind::Audio, "ogg", "audio/ogg"),
    (MediaKind::Audio, "opus", "audio/opus"),
    (MediaKind::Audio, "m4a", "audio/mp4"),
    (MediaKind::Audio, "webm", "audio/webm"),
    (MediaKind::Audio, "pcm", "audio/pcm"),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
];

/// The media type of a format; none of one that is not known here.
pub(super) fn media_type(kind: MediaKind, format: &str) -> Option<&'static str> {
    let found = FORMATS.iter().find(|(of, own, _)| *of == kind && *own == format);
    found.map(|(_, _, media_type)| *media_type)
}

/// The format of a media type, parameters left out; none where Converse has none.
pub(super) fn format(kind: MediaKind, media_type: &str) -> Option<&'static str> {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let found = FORMATS.iter().find(|(of, _, own)| *of == kind && own.eq_ignore_ascii_case(media_type));
    found.map(|(_, format, _)| *format)
}

/// The format that is assumed where nobody tells it.
pub(super) fn usual(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "png",
        MediaKind::Document => "pdf",
        MediaKind::Audio => "wav",
        MediaKind::Video => "mp4",
    }
}

/// The member in which a kind stands.
pub(super) fn member(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Document => "document",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}
