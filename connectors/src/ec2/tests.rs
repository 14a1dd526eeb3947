//! Replies as the published API gives them, where no emulator does.
