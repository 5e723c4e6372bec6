// SPDX-License-Identifier: BSD-3-Clause

//! The reference, `doc/rpc.md`: the part between the marks is generated from the table.

use super::{default, family, groups, paragraphs, summary, values};
use crate::params::{Kind, Param};
use crate::rpc::method::Method;

const BEGIN: &str = "<!-- made by `make rpc` of the table of methods in bdev/src/rpc: change that -->\n";
const END: &str = "<!-- end -->\n";

/// The reference `found`, with the part between the marks generated.
pub fn reference(found: &str) -> String {
    let (head, rest) = found.split_once(BEGIN).expect("the mark of the beginning");
    let (_, tail) = rest.split_once(END).expect("the mark of the end");
    let volumes: String = family("bdev_dedupe_").map(section).collect();
    let pools: String = family("mpool_").map(section).collect();
    let groups: String = groups().into_iter().map(group).collect();
    format!("{head}{BEGIN}\n## Volumes\n\n{volumes}## Pools\n\n{pools}{groups}{END}{tail}")
}

fn section(method: &Method) -> String {
    let does = paragraphs(method.help).join("\n\n");
    format!("### `{}`\n\n{does}\n\n{}Answer: {}.\n\n", method.name, params(&(method.params)()), method.answer)
}

fn group((name, members): (&str, Vec<Param>)) -> String {
    let rows: String = members.iter().map(row).collect();
    format!("### {name}\n\n{}", table(&rows))
}

/// The parameters of a method; a group takes one line.
fn params(params: &[Param]) -> String {
    let mut rows = String::new();
    let mut last = "";
    for param in params {
        match param.group {
            "" => rows += &row(param),
            group if group != last => rows += &format!("| [{group}](#{group}) | optional | | |\n"),
            _ => {}
        }
        last = param.group;
    }
    table(&rows)
}

fn table(rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("| parameter | | values | |\n|---|---|---|---|\n{rows}\n")
}

fn row(param: &Param) -> String {
    let default = default(param).map(|default| format!("default: {default}"));
    let need = if param.required { "required".to_owned() } else { default.unwrap_or_else(|| "optional".to_owned()) };
    let values = match param.kind {
        Kind::Flag | Kind::Switch => "true or false".to_owned(),
        kind => values(kind).unwrap_or_default(),
    };
    let help = summary(param.help);
    format!("| `{}` | {need} | {values} | {} |\n", param.name, help.strip_suffix('.').unwrap_or(&help))
}
