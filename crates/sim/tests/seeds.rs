//! A few seeds in every run of the tests: under faults nothing is lost, and afterwards nothing is left; and a seed that is
//! played twice takes the same course.

use std::process::Command;

fn play(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .expect("the program was built with this test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let said = play(&["--from", "1", "--seeds", "3"]);
    assert!(
        said.contains("the first was 1, the last 3\n         3 seeds played\n"),
        "{said}"
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_seed_takes_the_same_course_each_time() {
    let said = play(&["--from", "101", "--seeds", "1", "--twice"]);
    assert!(said.contains("1 seeds with the same trace twice"), "{said}");
}
