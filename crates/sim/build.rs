//! Shows the program's own `getrandom` to libraries that look for the system's by its name (see `src/system.rs`).

fn main() {
    let target_is = |key, value| std::env::var(key).is_ok_and(|found| found == value);
    if target_is("CARGO_CFG_TARGET_OS", "linux") && target_is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
