// SPDX-License-Identifier: BSD-3-Clause

//! The methods in the form of SPDK's `schema/schema.yaml`.
//!
//! Releases up to 26.01 have `schema.json` instead: the same members except `result` and the methods' `description`, and
//! one type, `number`, for all numbers.

use super::{default, methods, paragraphs, summary, values, NOTICE};
use crate::params::{Kind, Param};
use crate::rpc::method::Method;

/// The fragment: `enums` and `methods`.
pub fn fragment() -> String {
    let mut text = format!("# SPDX-License-Identifier: BSD-3-Clause\n# {NOTICE}\nenums:\n");
    for method in methods() {
        for param in (method.params)() {
            if let Kind::OneOf(names) = param.kind {
                text += &format!("  - name: {}\n    fields:\n", class(method, &param));
                for (value, name) in names.iter().enumerate() {
                    text += &format!("      - name: {name}\n        value: {value}\n");
                }
            }
        }
    }
    text += "methods:\n";
    methods().for_each(|method| text += &entry(method));
    text
}

/// The name of the enumeration of a parameter's values.
fn class(method: &Method, param: &Param) -> String {
    format!("{}_{}", method.name, param.name)
}

fn entry(method: &Method) -> String {
    let mut text = format!(
        "  - name: {}\n    description: {}\n    result:\n      type: {}\n      description: {}\n",
        method.name,
        quoted(&paragraphs(method.help).join(" ")),
        method.answer_type,
        quoted(method.answer)
    );
    let params = (method.params)();
    text += if params.is_empty() { "    params: []\n" } else { "    params:\n" };
    for param in &params {
        text += &format!("      - name: {}\n        type: {}\n", param.name, kind(param.kind));
        if let Kind::OneOf(_) = param.kind {
            text += &format!("        class: {}\n", class(method, param));
        }
        if param.required {
            text += "        required: true\n";
        }
        let allowed = values(param.kind).map(|values| format!(" Values: {values}."));
        let default = default(param).map(|default| format!(" Default: {default}."));
        let more = [allowed, default].into_iter().flatten().collect::<String>();
        text += &format!("        description: {}\n", quoted(&format!("{}{more}", summary(param.help))));
    }
    text
}

/// The schema's name for the type of a value.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::Cores | Kind::Octal => "string",
        Kind::Uuid => "uuid",
        Kind::OneOf(_) => "enum",
        Kind::Number { .. } | Kind::PowerOfTwoMib { .. } | Kind::OneOfNumbers(_) => "uint64",
        Kind::Flag | Kind::Switch => "boolean",
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
