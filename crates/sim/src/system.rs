//! Chance and the clocks of this whole process, as functions of the seed.
//!
//! The order in which a hash map gives its entries and the branch that a `select!` takes first come from the system's
//! chance, which no argument reaches. So this program answers the C library's `getrandom` itself, and `clock_gettime`:
//! other libraries' calls come here as well. It does so with glibc only; elsewhere a seed draws the same faults, but the
//! run may differ.
//!
//! The one file of this crate with unsafe code.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// 2026-01-01 UTC, where every simulation begins.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_767_225_600);

static CHANCE: AtomicU64 = AtomicU64::new(0);
/// Since 1970; 0 as long as the clocks are the system's.
static NANOS: AtomicU64 = AtomicU64::new(0);

/// From now on chance comes from this seed, and the clocks stand at [`EPOCH`].
pub fn begin(seed: u64) {
    keep_memory();
    CHANCE.store(seed, Ordering::Relaxed);
    set_elapsed(Duration::ZERO);
}

/// Sets the clocks to so long after [`EPOCH`].
pub(crate) fn set_elapsed(elapsed: Duration) {
    let nanos = u64::try_from((EPOCH + elapsed).as_nanos()).expect("before the year 2554");
    NANOS.store(nanos, Ordering::Relaxed);
}

/// Lets the allocator keep what is freed: disks are copied so often that giving memory back and taking it again would be a
/// seventh of all time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_memory() {
    const KEPT: libc::c_int = 256 << 20;
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it changes numbers of the allocator; one that it does not take, it leaves as it was.
        unsafe { libc::mallopt(option, KEPT) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory() {}

/// The next of the numbers that `SplitMix64` gives.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn next_u64() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = CHANCE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod instead {
    use std::ffi::{c_int, c_uint, c_void};
    use std::sync::atomic::Ordering;

    use super::{NANOS, next_u64};

    /// Instead of the C library's.
    ///
    /// # Safety
    /// As its: the buffer is writable for so many bytes.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, _flags: c_uint) -> isize {
        for at in 0..len {
            let byte = next_u64().to_le_bytes()[7];
            // SAFETY: within the caller's buffer.
            unsafe { buffer.cast::<u8>().add(at).write(byte) };
        }
        len.cast_signed()
    }

    /// Instead of the C library's: all clocks are the simulation's.
    ///
    /// # Safety
    /// As its: `time` is writable.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
        let nanos = NANOS.load(Ordering::Relaxed);
        if nanos == 0 {
            // SAFETY: the same call, by its number.
            let answer = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
            return if answer == 0 { 0 } else { -1 };
        }
        let now = libc::timespec {
            tv_sec: (nanos / 1_000_000_000).cast_signed(),
            tv_nsec: (nanos % 1_000_000_000).cast_signed(),
        };
        // SAFETY: the caller's.
        unsafe { time.write(now) };
        0
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn chance_and_the_clocks_are_the_seeds() {
        begin(7);
        let first = next_u64();
        begin(7);
        assert_eq!(next_u64(), first);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        assert_eq!(now.unwrap(), EPOCH);
        let before = std::time::Instant::now();
        set_elapsed(Duration::from_secs(5));
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        NANOS.store(0, Ordering::Relaxed);
    }
}
