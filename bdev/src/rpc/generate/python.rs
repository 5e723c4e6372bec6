// SPDX-License-Identifier: BSD-3-Clause

//! The plug-ins for SPDK's `rpc.py`: the table as calls of Python's `argparse`, and a few lines that process it.

use super::{family, groups, option_help, options, plain, summary, NOTICE};
use crate::params::{Kind, Param};
use crate::rpc::method::Method;

/// The group of parameters that several pool methods share.
const SETTINGS: &str = "settings";

/// The plug-in for volumes, which includes the other one.
pub fn dedupe() -> String {
    let text = r#"# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the dedupe bdev, and of the media pools that it lives in, for SPDK's rpc.py.

    PYTHONPATH=/path/to/this/directory scripts/rpc.py --plugin dedupe_rpc bdev_dedupe_create -b Nvme0n1 -n Dedupe0

Works with the rpc.py of SPDK 20.07 to 26.x. {notice}
"""
import mpool_rpc
from mpool_rpc import option, switch

METHODS = [
{methods}]


def spdk_rpc_plugin_initialize(subparsers):
    mpool_rpc.spdk_rpc_plugin_initialize(subparsers)
    mpool_rpc.add_commands(subparsers, METHODS)
"#;
    text.replace("{notice}", NOTICE).replace("{methods}", &methods("bdev_dedupe_"))
}

/// The plug-in for pools alone.
pub fn mpool() -> String {
    let text = r#"# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the media pool for SPDK's rpc.py; the plug-in dedupe_rpc brings them with its own.

Works with the rpc.py of SPDK 20.07 to 26.x. {notice}
"""
import argparse
import json


def switch(text):
    """What is `true` or `false` in JSON."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError("on or off is allowed, not '%s'" % text)
    return text == "on"


def option(*names, **settings):
    return names, settings


def add_commands(subparsers, methods):
    for method, help, options in methods:
        def run(args, method=method, options=options):
            params = {name: getattr(args, name) for name in map(_destination, options)}
            # An argument that is not given is not sent, so the module's own defaults apply.
            _show(method, args.client.call(method, {name: given for name, given in params.items() if given is not None}))

        parser = subparsers.add_parser(method, help=help, description=help)
        for names, settings in options:
            parser.add_argument(*names, **settings)
        parser.set_defaults(func=run)


def _destination(option):
    return option[0][-1].lstrip("-").replace("-", "_")


def _show(method, answer):
    # As SPDK's own, commands for bdevs are silent when there is nothing to tell but that it is done.
    if answer is True and method.startswith("bdev_"):
        return
    print(answer if isinstance(answer, str) else json.dumps(answer, indent=2))


SETTINGS = [
{settings}]

METHODS = [
{methods}]


def spdk_rpc_plugin_initialize(subparsers):
    add_commands(subparsers, METHODS)
"#;
    let settings: String = groups()[SETTINGS].iter().map(|param| option("    ", param)).collect();
    text.replace("{notice}", NOTICE).replace("{settings}", &settings).replace("{methods}", &methods("mpool_"))
}

fn methods(prefix: &str) -> String {
    family(prefix).map(method).collect()
}

fn method(method: &Method) -> String {
    let params = (method.params)();
    let (settings, own): (Vec<_>, Vec<_>) = params.iter().partition(|param| param.group == SETTINGS);
    let own: String = own.into_iter().map(|param| option("        ", param)).collect();
    let help = help_text(&plain(&summary(method.help)));
    let (begin, end) = match (own.is_empty(), settings.is_empty()) {
        (true, _) => ("[", "]"),
        (false, true) => ("[\n", "    ]"),
        (false, false) => ("[\n", "    ] + SETTINGS"),
    };
    format!("    ({}, {},\n     {begin}{own}{end}),\n", quoted(method.name), help)
}

fn option(indent: &str, param: &Param) -> String {
    let mut parts: Vec<_> = options(param).iter().map(|option| quoted(option)).collect();
    if parts.is_empty() {
        parts.push(quoted(param.name));
    } else if param.required {
        parts.push("required=True".to_owned());
    }
    match param.kind {
        Kind::Number { .. } | Kind::PowerOfTwoMib { .. } | Kind::OneOfNumbers(_) => parts.push("type=int".to_owned()),
        Kind::OneOf(names) => {
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            parts.push(format!("choices=[{}]", names.join(", ")));
        }
        // In argparse's error messages a positional parameter has its own name.
        Kind::Switch if options(param).is_empty() => parts.push("type=switch".to_owned()),
        Kind::Switch => parts.push("type=switch, metavar=\"{on,off}\"".to_owned()),
        Kind::Flag => parts.push("action=\"store_true\", default=None".to_owned()),
        Kind::Text(_) | Kind::Uuid | Kind::Cores | Kind::Octal => {}
    }
    let help = help_text(&option_help(param));
    format!("{indent}option({},\n{indent}       help={help}),\n", parts.join(", "))
}

/// A help text, escaped because argparse formats it.
fn help_text(text: &str) -> String {
    quoted(&text.replace('%', "%%"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Stands in for `rpc.py`: loads the plug-in, asks for each help text, and prints what a command line sends.
    const RPC: &str = r#"
import argparse, json, sys
import dedupe_rpc

class Client:
    def call(self, method, params):
        print(method, json.dumps(params, sort_keys=True))
        return True

parser = argparse.ArgumentParser()
commands = parser.add_subparsers()
dedupe_rpc.spdk_rpc_plugin_initialize(commands)
assert all(command.format_help() for command in commands.choices.values())
args = parser.parse_args(sys.argv[1:])
args.client = Client()
args.func(args)
"#;

    fn run(line: &str) -> Result<String, String> {
        let command = Command::new("python3")
            .args(["-c", RPC])
            .args(line.split(' '))
            .env("PYTHONPATH", crate::rpc::generate::path("bdev/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .expect("python3 runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
        if command.status.success() {
            Ok(text(command.stdout))
        } else {
            Err(text(command.stderr))
        }
    }

    #[test]
    fn what_is_given_is_sent() {
        let sent = run("bdev_dedupe_create -b B -n D -s 512 --compression on --deduplication off -f");
        let wanted = "bdev_dedupe_create {\"base_bdev_name\": \"B\", \"block_size\": 512, \"compression\": true, \
                      \"deduplication\": false, \"force\": true, \"name\": \"D\"}\n";
        assert_eq!(sent.as_deref(), Ok(wanted));
        assert_eq!(run("bdev_dedupe_get_stats").as_deref(), Ok("bdev_dedupe_get_stats {}\n"));
        let sent = run("mpool_set_params p --mode 0660 --chunk-kib 256");
        assert_eq!(
            sent.as_deref(),
            Ok("mpool_set_params {\"chunk_kib\": 256, \"mode\": \"0660\", \"name\": \"p\"}\ntrue\n")
        );
        let refused = run("bdev_dedupe_set_compression D maybe").expect_err("no switch");
        assert!(refused.contains("on or off is allowed, not 'maybe'"), "{refused}");
    }
}
