// SPDX-License-Identifier: BSD-3-Clause

//! The media pool's crash campaigns: `pool_campaign --campaign logs --seeds 0..20000`, or one seed with all its events:
//! `pool_campaign --campaign logs --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::pool_sim::campaign::{run_seed, Campaign, Options, Totals};
use tests::seeds::arguments::{number, Common, HELP};
use tests::seeds::runner::{exit_code, Outcome, Program};

const USAGE: &str = "usage: pool_campaign --campaign NAME --seeds FIRST..END [--threads N]
       pool_campaign --campaign NAME --seed N [--trace]

  --campaign NAME      which one, see below; all of them in turn when it is not given";

const OWN_HELP: &str = "  --stride N           cut or fail scripts at one in N operations
  --trace-life N       print every event of one life of a script's seed, as named by its failure";

struct Arguments {
    campaigns: Vec<Campaign>,
    common: Common,
    options: Options,
}

fn parse() -> Result<Arguments, String> {
    let options = Options { trace: false, trace_life: None, stride: 1 };
    let mut arguments = Arguments { campaigns: Campaign::ALL.to_vec(), common: Common::default(), options };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if arguments.common.take(&word, &mut words)? {
            continue;
        }
        match word.as_str() {
            "--campaign" => {
                let name = words.next().ok_or("--campaign needs a name")?;
                let known = Campaign::ALL.into_iter().find(|campaign| campaign.name() == name);
                arguments.campaigns = vec![known.ok_or(format!("no campaign is called '{name}'"))?];
            }
            "--trace-life" => arguments.options.trace_life = Some(number(&mut words, &word)?),
            "--stride" => arguments.options.stride = number(&mut words, &word)?.max(1),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    arguments.common.check()?;
    arguments.options.trace = arguments.common.trace;
    let traces = arguments.options.trace || arguments.options.trace_life.is_some();
    if traces && (arguments.common.seeds.end - arguments.common.seeds.start > 1 || arguments.campaigns.len() > 1) {
        return Err("--trace goes with --campaign and --seed".into());
    }
    Ok(arguments)
}

fn print_totals(campaign: Campaign, outcome: &Outcome<Totals>) {
    let Totals { cut_points, lives, cuts, calls, operations, faults, time } = &outcome.totals;
    println!("campaign {}: {}", campaign.name(), campaign.purpose());
    println!("  seeds        {} in {:.1} s", outcome.seeds, outcome.took.as_secs_f64());
    println!("  cut points   {cut_points} distinct");
    println!("  lives        {lives}, {cuts} of them ended by a power cut");
    println!("  calls        {calls}, with {operations} operations of disks, {faults} of which were made to fail");
    println!("  time         {:.1} s simulated", *time as f64 / 1e9);
    outcome.print_failures("  ");
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n{USAGE}\n{HELP}\n{OWN_HELP}\n\ncampaigns:");
            for campaign in Campaign::ALL {
                eprintln!("  {:<20} {}", campaign.name(), campaign.purpose());
            }
            return ExitCode::from(2);
        }
    };
    let mut good = true;
    for campaign in arguments.campaigns {
        let program = Program { name: "pool_campaign", campaign: Some(campaign.name()) };
        let outcome = program.run(&arguments.common, |seed| run_seed(campaign, seed, arguments.options));
        print_totals(campaign, &outcome);
        good &= outcome.failed.is_empty();
    }
    exit_code(good)
}
