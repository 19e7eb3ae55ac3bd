//! Shows the `getrandom` of `sim` to libraries that look for the system's by its name, as the build script there does.

fn main() {
    let target_is = |key, value| std::env::var(key).is_ok_and(|found| found == value);
    if target_is("CARGO_CFG_TARGET_OS", "linux") && target_is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
