//! How many heaps the C library keeps, and what becomes of memory that is free in them.

/// Gives all threads two heaps in place of one for each, which keep what they will need again in a moment; to be called before
/// there are others.
///
/// A chunk is received, hashed, written and freed by different threads. With a heap for each of them, each keeps the most
/// that it ever had: after a few gigabytes a storage node held 17 MB, of which it used one. And what is given back as soon as it is
/// free is taken again for the next chunk, each page of it with a fault, and zeroed: a tenth of the processor time of an upload.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library can be told in no other way")]
pub(crate) fn share() {
    const HEAPS: libc::c_int = 2;
    /// What a heap keeps at its end: the chunks of a transfer or two.
    const KEPT_LEN: libc::c_int = 16 << 20;
    /// What is longer is no part of a heap: no chunk is, in no cluster.
    const APART_LEN: libc::c_int = 32 << 20;
    for (number, value) in [
        (libc::M_ARENA_MAX, HEAPS),
        (libc::M_TRIM_THRESHOLD, KEPT_LEN),
        (libc::M_MMAP_THRESHOLD, APART_LEN),
    ] {
        // SAFETY: it sets a number in the allocator, before other threads use it. If that fails, all stays as it was.
        unsafe { libc::mallopt(number, value) };
    }
}

/// From time to time gives back what is free, for as long as the process runs.
///
/// The C library gives back by itself only what lies at the end of a heap. After 10,000 connections at once the page's
/// process kept 400 MB, of which nothing was in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library can be told in no other way")]
pub(crate) fn give_back_from_time_to_time() {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(60);
    // Without the thread the memory is kept, and nothing else is amiss.
    let thread = std::thread::Builder::new().name("give back memory".into());
    drop(thread.spawn(|| {
        loop {
            std::thread::sleep(PAUSE);
            // SAFETY: it takes the heaps' own locks, and touches only what nobody has.
            unsafe { libc::malloc_trim(0) };
        }
    }));
}

/// Other systems' allocators have no such number.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share() {}

/// Other systems' allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_from_time_to_time() {}
