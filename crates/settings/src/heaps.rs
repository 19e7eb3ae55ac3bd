//! How many heaps the C library keeps: few are enough for a server, and give memory back.

/// Gives all threads two heaps in place of one for each; to be called before there are others.
///
/// A chunk is received, hashed, written and freed by different threads. With a heap for each of them, each keeps the most
/// that it ever had: after a few gigabytes a storage node held 17 MB, of which it used one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library can be told in no other way")]
pub(crate) fn share() {
    const HEAPS: libc::c_int = 2;
    // SAFETY: it sets a number in the allocator, before other threads use it. If that fails, all stays as it was.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, HEAPS) };
}

/// Other systems' allocators have no such number.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share() {}
