"""The results service: merges what tasks scored and serves it page by page."""
