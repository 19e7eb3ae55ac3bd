//! What counts depend on besides the code.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Where counts were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// What the processor and the system are called.
    pub(crate) target: String,
    /// Instructions of the processor that programs look for when they run, as valgrind lets them see it.
    pub(crate) processor: String,
    /// The compiler.
    pub(crate) rustc: String,
    /// Which processor valgrind plays.
    pub(crate) valgrind: String,
    /// The C library, which copies memory and allocates it.
    pub(crate) libc: String,
}

impl Environment {
    /// This one.
    pub(crate) fn find(processor: String) -> Result<Self> {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        Ok(Self {
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            processor,
            rustc: first_line(&rustc, &["--version"])?,
            valgrind: first_line("valgrind", &["--version"])?,
            libc: first_line("getconf", &["GNU_LIBC_VERSION"])
                .unwrap_or_else(|_| "another".to_owned()),
        })
    }

    /// What differs, in words.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            (&self.target, &other.target),
            (&self.processor, &other.processor),
            (&self.rustc, &other.rustc),
            (&self.valgrind, &other.valgrind),
            (&self.libc, &other.libc),
        ];
        let differing = pairs.into_iter().filter(|(ours, theirs)| ours != theirs);
        differing
            .map(|(ours, theirs)| format!("{ours} here, {theirs} there"))
            .collect()
    }
}

/// What this process sees of the processor, of what the code that is counted makes a difference of.
pub(crate) fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let seen = [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("pclmulqdq", std::is_x86_feature_detected!("pclmulqdq")),
        ("sha", std::is_x86_feature_detected!("sha")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let seen = [("any", true)];
    let has = seen.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    has.collect::<Vec<_>>().join(" ")
}

fn first_line(program: &str, arguments: &[&str]) -> Result<String> {
    let said = Command::new(program).args(arguments).output();
    let said = said.with_context(|| format!("start {program}"))?;
    ensure!(said.status.success(), "{program} {arguments:?} failed");
    let text = String::from_utf8_lossy(&said.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
