// SPDX-License-Identifier: BSD-3-Clause

//! The completion of `rpc.py`'s command line for bash.

use super::{methods, options, NOTICE};
use crate::params::{Kind, Param};
use crate::rpc::method::Method;

/// The script, for an interactive shell to source.
pub fn completion() -> String {
    let text = r#"# SPDX-License-Identifier: BSD-3-Clause
#
# Completes the commands of the plug-in dedupe_rpc for SPDK's rpc.py, and for an alias `rpc`; SPDK's own commands are
# completed too if scripts/bash-completion/spdk was sourced before. To be sourced by ~/.bashrc.
# {notice}

# What can follow a method.
declare -gA _dedupe_rpc_words=(
{words})

# What can follow an option of a method.
declare -gA _dedupe_rpc_values=(
{values})

_dedupe_rpc() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word words
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        if [[ -n $word && -n ${_dedupe_rpc_words["$word"]} ]]; then
            words=${_dedupe_rpc_values["$word $prev"]:-${_dedupe_rpc_words["$word"]}}
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
            return
        fi
    done
    COMPREPLY=()
    if declare -F _rpc > /dev/null; then
        _rpc "$@"
    fi
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "${!_dedupe_rpc_words[*]}" -- "$cur")
}

complete -o default -F _dedupe_rpc rpc.py rpc
"#;
    let each = |line: fn(&Method) -> String| methods().map(line).collect::<String>();
    text.replace("{notice}", NOTICE).replace("{words}", &each(words)).replace("{values}", &each(values))
}

fn words(method: &Method) -> String {
    let mut words = vec!["-h".to_owned(), "--help".to_owned()];
    for param in (method.params)() {
        let options = options(&param);
        words.extend(if options.is_empty() { choices(&param) } else { options });
    }
    format!("    [{}]=\"{}\"\n", method.name, words.join(" "))
}

fn values(method: &Method) -> String {
    let mut lines = String::new();
    for param in (method.params)() {
        let choices = choices(&param).join(" ");
        for option in options(&param).iter().filter(|_| !choices.is_empty()) {
            lines.push_str(&format!("    [\"{} {option}\"]=\"{choices}\"\n", method.name));
        }
    }
    lines
}

/// The values of a parameter that has few.
fn choices(param: &Param) -> Vec<String> {
    match param.kind {
        Kind::Switch => vec!["on".to_owned(), "off".to_owned()],
        Kind::OneOf(names) => names.iter().map(ToString::to_string).collect(),
        Kind::OneOfNumbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
        Kind::PowerOfTwoMib { least, most } => (0..u64::BITS)
            .map(|log2| 1 << log2)
            .filter(|mib| (least..=most).contains(mib))
            .map(|mib: u64| mib.to_string())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// What bash offers at the end of a command line.
    fn offered(line: &[&str]) -> Vec<String> {
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _dedupe_rpc; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            super::completion(),
            line.join(" "),
            line.len() - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("ASCII").lines().map(str::to_owned).collect()
    }

    #[test]
    fn methods_options_and_values_are_completed() {
        assert_eq!(offered(&["rpc.py", "--plugin", "dedupe_rpc", "bdev_dedupe_unl"]), ["bdev_dedupe_unload"]);
        assert_eq!(offered(&["rpc.py", "bdev_dedupe_create", "--co"]), ["--compression"]);
        assert_eq!(offered(&["rpc.py", "bdev_dedupe_create", "--compression", "''"]), ["on", "off"]);
        assert_eq!(offered(&["rpc.py", "bdev_dedupe_set_index", "D0", "c"]), ["create", "close"]);
        assert_eq!(offered(&["rpc.py", "mpool_set_params", "p0", "--chunk"]), ["--chunk-kib"]);
    }
}
